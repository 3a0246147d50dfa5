// Stacks that one thread of the machine changes between: by a few instructions on x86-64, else by the C library.
#pragma once
#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#if !defined(__x86_64__) || defined(SHIM_UCONTEXT)
#define SHIM_BY_LIBRARY
#endif
#if defined(SHIM_BY_LIBRARY)
#include <ucontext.h>
#endif

namespace shim {

// Below each stack lies what cannot be touched, as wide as the memory that a GPU's thread may have at most.
constexpr size_t STACK = 128 * 1024, BELOW = 512 * 1024, STRIDE = STACK + BELOW;

#if !defined(SHIM_BY_LIBRARY)
// Keeps what functions have to keep on the stack at hand, notes where that is, and goes on from another such place.
extern "C" void shim_switch(void** from, void* to);
asm(R"(
.text
.p2align 4
.type shim_switch, @function
shim_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size shim_switch, .-shim_switch
)");
#endif

class Fiber {
 public:
  // Begin anew with a function that never returns. Tops of stacks are not all in the same lines of the cache.
  void begin(char* stack, int number, void (*work)()) {
    size_t size = STACK - size_t(number % 48) * 64;
#if !defined(SHIM_BY_LIBRARY)
    void** top = reinterpret_cast<void**>(stack + size);
    *--top = nullptr;
    *--top = reinterpret_cast<void*>(work);
    for (int saved = 0; saved < 6; ++saved) *--top = nullptr;
    at_ = top;
#else
    getcontext(&at_);
    at_.uc_stack.ss_sp = stack;
    at_.uc_stack.ss_size = size;
    at_.uc_link = nullptr;
    makecontext(&at_, work, 0);
#endif
  }

  void go_to(Fiber& other) {
#if !defined(SHIM_BY_LIBRARY)
    shim_switch(&at_, other.at_);
#else
    swapcontext(&at_, &other.at_);
#endif
  }

 private:
#if !defined(SHIM_BY_LIBRARY)
  void* at_ = nullptr;
#else
  ucontext_t at_;
#endif
};

// Memory for stacks: the number-th begins `number * STRIDE + BELOW` behind this.
inline char* map_stacks(int count) {
  const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
  char* all = static_cast<char*>(mmap(nullptr, count * STRIDE, PROT_NONE, flags, -1, 0));
  for (int number = 0; number < count; ++number) mprotect(all + number * STRIDE + BELOW, STACK, PROT_READ | PROT_WRITE);
  return all;
}

}  // namespace shim
