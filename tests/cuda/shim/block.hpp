// The threads of one block: which of them goes on, and where each of them waits.
//
// A thread runs until it waits or ends; then the next lane of its warp goes on, and when there is none another warp.
// Which lane and which warp is next is drawn from a seed. Threads that never wait all run on one stack.
#pragma once
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <vector>

#include "fibers.hpp"
#include "proxy.hpp"
#include "warp.hpp"

namespace shim {

constexpr int THREADS = 1024, WARPS = THREADS / LANES;

// A copy that has not arrived; what it moves was read when it was asked for.
struct Arriving {
  void* target;
  int size, group;
  unsigned char bytes[16];
};

struct Thread {
  Fiber* fiber = nullptr;  // none before it begins
  Together what = JOIN;
  unsigned mask = 0;
  int line = 0;
  int groups = 0;  // of copies
  std::vector<OfGroup> products;  // that it has not begun
  bool at_products = false;  // whether it waits for others of its warpgroup to begin them
  float* target = nullptr;  // whose sums are on their way
  float sums[128];
  std::vector<Arriving> arriving;
};

struct Warp {
  unsigned lanes, ready, together, at_barrier, ended;
  Exchange exchange[LANES];
  std::deque<std::vector<OfGroup>> under_way;  // products that have been begun; those that have been formed are left out
};

class Block {
 public:
  Thread threads[THREADS];
  Warp warps[WARPS];
  Thread* current = nullptr;
  int count = 0, arrived = 0, ended = 0;
  Proxy proxy;

  int number() const { return int(current - threads); }
  Warp& warp() { return warps[number() / LANES]; }
  unsigned bit() const { return 1u << number() % LANES; }

  // Run all threads of a block; false where some of them wait for ever.
  bool run(int count_, unsigned long long seed) {
    if (!stacks_) set_up();
    count = count_;
    arrived = ended = 0;
    random_ = seed * 0x9E3779B97F4A7C15ull + 0x632BE59BD9B4E019ull;
    active_ = 0;
    current = nullptr;
    for (int number = 0; number * LANES < count; ++number) {
      const int lanes = count - number * LANES;
      const unsigned all = lanes >= LANES ? ~0u : (1u << lanes) - 1;
      Warp& warp = warps[number];
      warp.lanes = warp.ready = all;
      warp.together = warp.at_barrier = warp.ended = 0;
      warp.under_way.clear();
      active_ |= 1u << number;
    }
    shuffle_order();
    warp_ = draw_warp();
    go_on(home_);
    return ended == count;
  }

  // Let others go on; returns when the thread is ready again.
  void wait() { go_on(*current->fiber); }

  void make_ready(int warp, unsigned lanes) {
    warps[warp].ready |= lanes;
    active_ |= 1u << warp;
  }

  // All threads that wait at the barrier may leave it.
  void open_barrier() {
    for (int number = 0; number * LANES < count; ++number) {
      if (!warps[number].at_barrier) continue;
      make_ready(number, warps[number].at_barrier);
      warps[number].at_barrier = 0;
    }
    arrived = 0;
    if (proxy.watching) proxy.open_barrier();
    shuffle_order();
  }

  void shuffle_order() {
    const unsigned drawn = draw();
    turn_ = drawn & 31u;
    warp_turn_ = drawn >> 5 & 31u;
    backwards_ = drawn >> 10 & 1u;
  }

  unsigned draw() {
    random_ ^= random_ << 13;
    random_ ^= random_ >> 7;
    random_ ^= random_ << 17;
    return unsigned(random_ >> 32);
  }

  // Have no thread, after a fault. What stacks hold is forgotten.
  void clear() {
    if (!stacks_) return;
    free_ = 0;
    for (int number = 0; number < THREADS; ++number) {
      forget(threads[number]);
      fibers_[number].begin(stacks_ + number * STRIDE + BELOW, number, work);
      free_fibers_[free_++] = &fibers_[number];
    }
  }

  // How many threads are where, in words.
  void describe(char* text, size_t size) const {
    int at_barrier = 0, together = 0, at_product = 0, line = 0, join_line = 0;
    for (int number = 0; number < count; ++number) {
      const Warp& warp = warps[number / LANES];
      const unsigned bit = 1u << number % LANES;
      if (warp.at_barrier & bit) ++at_barrier, line = threads[number].line;
      if (threads[number].at_products) ++at_product;
      if (warp.together & bit) ++together, join_line = threads[number].line;
    }
    snprintf(text, size,
             "of %d threads %d wait at __syncthreads (line %d), %d for other lanes of their warp (line %d), "
             "%d for others of their warpgroup, %d have ended",
             count, at_barrier, line, together, join_line, at_product, ended);
  }

  void (*call)() = nullptr;  // the program's function with its arguments; set before blocks run

  bool on_guard(const void* address) const {
    const char* at = static_cast<const char*>(address);
    return stacks_ && at >= stacks_ && at < stacks_ + THREADS * STRIDE && size_t(at - stacks_) % STRIDE < BELOW;
  }

  static Block& only() {
    static Block block;
    return block;
  }

 private:
  void set_up() {
    stacks_ = map_stacks(THREADS);
    clear();
  }

  static void forget(Thread& thread) {
    thread.fiber = nullptr;
    thread.groups = 0;
    thread.products.clear();
    thread.at_products = false;
    thread.target = nullptr;
    thread.arriving.clear();
  }

  // The body of every fiber: run threads that have not begun, as long as they are the next.
  static void work() {
    Block& block = only();
    for (;;) {
      block.call();
      Fiber* own = block.current->fiber;
      ++block.ended;
      block.warp().ended |= block.bit();
      forget(*block.current);  // copies that nobody waited for never arrive
      if (!block.take_next()) {
        block.free_fibers_[block.free_++] = own;
        own->go_to(block.home_);
      } else if (block.current->fiber) {
        block.free_fibers_[block.free_++] = own;
        own->go_to(*block.current->fiber);
      } else {
        block.current->fiber = own;
      }
    }
  }

  // Go from a stack to the one of the next thread; home where there is none.
  void go_on(Fiber& from) {
    if (!take_next()) {
      from.go_to(home_);
      return;
    }
    if (!current->fiber) current->fiber = free_fibers_[--free_];
    if (current->fiber != &from) from.go_to(*current->fiber);
  }

  bool take_next() {
    if (proxy.watching && current) proxy.note(number());
    if (!(active_ >> warp_ & 1u)) {
      if (!active_) return false;
      warp_ = draw_warp();
    }
    Warp& warp = warps[warp_];
    const int lane = choose(warp.ready, turn_);
    warp.ready &= ~(1u << lane);
    if (!warp.ready) active_ &= ~(1u << warp_);
    current = &threads[warp_ * LANES + lane];
    threadIdx.x = unsigned(warp_ * LANES + lane);
    return true;
  }

  int draw_warp() { return choose(active_, warp_turn_); }

  // A bit that is set: the first from a place on, upwards or downwards.
  int choose(unsigned bits, unsigned from) const {
    const unsigned rolled = bits >> from | bits << ((32u - from) & 31u);
    const int first = backwards_ ? 31 - __builtin_clz(rolled) : __builtin_ctz(rolled);
    return int((unsigned(first) + from) & 31u);
  }

  char* stacks_ = nullptr;
  Fiber home_, fibers_[THREADS];
  Fiber* free_fibers_[THREADS];
  int free_ = 0, warp_ = 0;
  unsigned active_ = 0, turn_ = 0, warp_turn_ = 0;
  bool backwards_ = false;
  unsigned long long random_ = 1;
};

}  // namespace shim
