// The runtime of the shim: launches functions of programs, block by block, and answers what they ask (calls.hpp).
#include <cstring>
#include <string>
#include <utility>

#include "block.hpp"
#include "faults.hpp"
#include "memory.hpp"
#include "warpgroup.hpp"

uint3 threadIdx = {0, 0, 0}, blockIdx = {0, 0, 0};
dim3 blockDim = {1, 1, 1}, gridDim = {1, 1, 1};

namespace shim {

unsigned char* shared = nullptr;

namespace {

constexpr size_t SHARED = 227 * 1024, NEAR = 1024;  // bytes in front of shared memory are watched as well
constexpr int ARGUMENTS = 512;

// All arguments are pointers and integers. The calling conventions of x86-64 and AArch64 pass each in a register or a
// word of its own, and do not mind that there are more than the function takes, so that all functions are called alike.
using Words = const unsigned long long*;

template <size_t... I>
void spread(void* function, Words words, std::index_sequence<I...>) {
  reinterpret_cast<void (*)(decltype(I, 0ull)...)>(function)(words[I]...);
}
template <size_t N>
void call_with(void* function, Words words) {
  spread(function, words, std::make_index_sequence<N>());
}

struct Launch {
  void* function = nullptr;
  void (*call)(void*, Words) = nullptr;
  unsigned long long words[ARGUMENTS] = {};
};

Launch launch;
Memory memory;
Piece pool = {};
std::string message;
bool at_work = false;

auto fitting(int count) {
  if (count <= 6) return call_with<6>;
  if (count <= 12) return call_with<12>;
  if (count <= 32) return call_with<32>;
  if (count <= 128) return call_with<128>;
  return call_with<ARGUMENTS>;
}

// Which block a launch does as its number-th: any order is right, so that one is drawn.
unsigned drawn_block(unsigned number, unsigned blocks, unsigned seed) {
  const unsigned start = unsigned(seed * 2654435761ull % blocks), place = (start + number) % blocks;
  return seed & 1u ? blocks - 1 - place : place;
}

void run_blocks(unsigned blocks, int threads, size_t shared_bytes, unsigned seed) {
  Block& block = Block::only();
  for (unsigned number = 0; number < blocks; ++number) {
    blockIdx.x = drawn_block(number, blocks, seed);
    memset(shared, POISON, shared_bytes);
    if (block.proxy.watching) block.proxy.begin(shared, shared_bytes, threads);
    if (!block.run(threads, (static_cast<unsigned long long>(seed) << 32) + blockIdx.x + 1)) {
      char where[300];
      block.describe(where, sizeof where);
      fault("threads wait for ever: %s", where);
    }
  }
}

std::string told(const Faults& faults) {
  const Block& block = Block::only();
  if (!faults.signal) return faults.text;
  switch (faults.signal) {
    case SIGILL: return "a misaligned access, or an index outside of a local array";
    case SIGFPE: return "an integer is divided by zero";
    case SIGVTALRM: return "it has been at work for " + std::to_string(SECONDS) + " seconds";
    default: break;
  }
  if (block.on_guard(faults.address)) return "a thread needs more than " + std::to_string(STACK) + " bytes of stack";
  return "no access at " + memory.describe(faults.address, pool);
}

void set_up_shared(size_t bytes) {
  if (!pool.start) pool = make_piece("shared memory", SHARED + NEAR);
  pool.size = bytes;
  pool.data = pool.limit() - rounded(bytes, ALIGNED);
  fill_with(pool.mark, pool.data - NEAR, pool.data);
  fill_with(pool.mark, pool.end(), pool.limit());
  shared = pool.data;
}

std::string stray_in_shared() {
  const unsigned char* found = touched(pool.mark, pool.data - NEAR, pool.data);
  if (!found) found = touched(pool.mark, pool.end(), pool.limit());
  return found ? "a write at " + memory.describe(found, pool) : "";
}

std::string thread_in_words() {
  return ", block " + std::to_string(blockIdx.x) + ", thread " + std::to_string(threadIdx.x);
}

void compare(const std::vector<OfGroup>& own, const std::vector<OfGroup>& others) {
  if (own.size() != others.size()) fault("threads of a warpgroup bring %zu and %zu products", own.size(), others.size());
  for (size_t at = 0; at < own.size(); ++at) {
    const OfGroup &a = own[at], &b = others[at];
    if (a.what == b.what && a.columns == b.columns && a.rows == b.rows && a.beside == b.beside && a.first == b.first &&
        a.second == b.second) continue;
    fault("threads of a warpgroup bring different products, of %d and %d columns: %016llx and %016llx, %016llx and %016llx",
          a.columns, b.columns, a.first, b.first, a.second, b.second);
  }
}

// Products that a warp has begun read shared memory now.
void form_products(int warp, std::vector<OfGroup>& products) {
  Block& block = Block::only();
  for (const OfGroup& one : products) {
    multiply_warp(one, warp % (GROUP / LANES), block.threads + warp * LANES, pool.size, block.proxy);
  }
  products.clear();
}

// The lanes of a warp wait for all products but those that were begun last, so many times.
void wait_for_products(int warp, int left) {
  auto& under_way = Block::only().warps[warp].under_way;
  for (; int(under_way.size()) > left; under_way.pop_front()) form_products(warp, under_way.front());
}

}  // namespace

void fault(const char* form, ...) {
  Faults& faults = Faults::only();
  va_list arguments;
  va_start(arguments, form);
  vsnprintf(faults.text, sizeof faults.text, form, arguments);
  va_end(arguments);
  faults.leave();
}

void barrier(int line, int threads) {
  Block& block = Block::only();
  if (!threads) threads = block.count;
  block.current->line = line;
  block.warp().at_barrier |= block.bit();
  if (++block.arrived < threads) {
    block.wait();
    return;
  }
  for (int number = 0; number < block.count; ++number) {
    const int other = block.threads[number].line;
    if (!(block.warps[number / LANES].at_barrier >> number % LANES & 1u)) continue;
    if (other != line) fault("threads are at different barriers: __syncthreads of line %d and of line %d", other, line);
  }
  const unsigned self = block.bit();
  block.warp().at_barrier &= ~self;
  block.open_barrier();
}

const void* together(Together what, unsigned mask, const void* brought, int size, int line) {
  Block& block = Block::only();
  Thread& self = *block.current;
  Warp& warp = block.warp();
  const int first = block.number() / LANES * LANES;
  Exchange& own = warp.exchange[block.number() - first];
  if (!(mask & block.bit())) {
    fault("line %d: the mask %08x does not name the lane %d itself", line, mask, block.number() - first);
  }
  if (const unsigned gone = mask & (~warp.lanes | warp.ended)) {
    fault("line %d: the mask %08x names lanes that have ended or are none: %08x", line, mask, gone);
  }
  self.what = what;
  self.mask = mask;
  self.line = line;
  memcpy(own.brought, brought, size);
  warp.together |= block.bit();
  bool all = (warp.together & mask) == mask;
  for (unsigned left = all ? mask : 0; left; left &= left - 1) {
    const Thread& other = block.threads[first + __builtin_ctz(left)];
    if (other.mask != mask) {
      all = false;
    } else if (other.what != what || other.line != line) {
      fault("lanes of a warp do different things together: in line %d and in line %d", other.line, line);
    }
  }
  if (!all) {
    block.wait();
    return own.got;
  }
  if (what == WAIT_GROUPS) wait_for_products(first / LANES, *reinterpret_cast<const int*>(own.brought));
  carry_out(what, warp.exchange, mask);
  warp.together &= ~mask;
  block.shuffle_order();
  if (const unsigned others = mask & ~block.bit()) block.make_ready(first / LANES, others);
  return own.got;
}

void publish() {
  Block& block = Block::only();
  if (block.proxy.watching) block.proxy.publish(block.number());
}

void open_products(float* sums, int count) {
  Block& block = Block::only();
  Thread& self = *block.current;
  if (!block.proxy.watching) fault("warpgroups multiply in a program that is not watched (see proxy.hpp)");
  if (self.target && self.target != sums) fault("products of a thread are under way to different sums");
  if (!self.target) memcpy(self.sums, sums, count * sizeof *sums);
  self.target = sums;
  for (int i = 0; i < count; ++i) sums[i] = __builtin_nanf("");
}

void add_product(const OfGroup& product) { Block::only().current->products.push_back(product); }

void begin_products() {
  Block& block = Block::only();
  const int begin = block.number() / GROUP * GROUP;
  if (begin + GROUP > block.count) fault("of a warpgroup of 128 threads there are %d", block.count - begin);
  Thread* const threads = block.threads + begin;
  block.current->at_products = true;
  for (int thread = 0; thread < GROUP; ++thread) {
    if (!threads[thread].at_products) {
      block.wait();
      return;
    }
  }
  const std::vector<OfGroup> own = block.current->products;
  for (int thread = 0; thread < GROUP; ++thread) {
    compare(own, threads[thread].products);
    threads[thread].products.clear();
    threads[thread].at_products = false;
  }
  for (int number = 0; number < GROUP / LANES; ++number) {
    const int warp = begin / LANES + number;
    block.warps[warp].under_way.push_back(own);
    if (block.draw() & 1u) form_products(warp, block.warps[warp].under_way.back());
    block.make_ready(warp, warp == block.number() / LANES ? ~block.bit() : ~0u);
  }
  block.shuffle_order();
}

void wait_products(int left, int line) {
  together(WAIT_GROUPS, 0xffffffffu, &left, sizeof left, line);
}

void take_sums(float* sums, int count) {
  Thread& self = *Block::only().current;
  if (self.target && self.target != sums) fault("other sums are waited for than products are under way to");
  if (self.target) memcpy(sums, self.sums, count * sizeof *sums);
  self.target = nullptr;
}

// A copy may arrive at any time before it is waited for: whether it does so at once is drawn.
void copy_async(void* target, const void* source, int size, bool taken) {
  Block& block = Block::only();
  Arriving copy = {target, size, block.current->groups, {}};
  if (taken) memcpy(copy.bytes, source, size);
  if (block.draw() & 1u) {
    memcpy(target, copy.bytes, size);
  } else {
    block.current->arriving.push_back(copy);
  }
}

void commit_async() { ++Block::only().current->groups; }

void wait_async(int groups_left) {
  Thread& thread = *Block::only().current;
  size_t done = 0;
  while (done < thread.arriving.size() && thread.arriving[done].group < thread.groups - groups_left) {
    const Arriving& copy = thread.arriving[done++];
    memcpy(copy.target, copy.bytes, copy.size);
  }
  thread.arriving.erase(thread.arriving.begin(), thread.arriving.begin() + done);
}

}  // namespace shim

extern "C" {

void* shim_allocate(size_t size, const char* name) { return shim::memory.allocate(size, name); }

int shim_release(const void* data) { return shim::memory.release(data) ? 0 : 1; }

const char* shim_message() { return shim::message.c_str(); }

// Whether the programs that are launched from here on multiply by warpgroups (see proxy.hpp).
void shim_watch(int watching) { shim::Block::only().proxy.watching = watching != 0; }

// 0, or 1 where shim_message says what is wrong.
int shim_launch(void* function, unsigned blocks, unsigned threads, size_t shared_bytes, const unsigned long long* words,
                int count, unsigned seed) {
  using namespace shim;
  message.clear();
  if (at_work) message = "a launch within a launch";
  if (threads < 1 || threads > THREADS) message = std::to_string(threads) + " threads in a block are not 1 to 1024";
  if (shared_bytes > SHARED) message = std::to_string(shared_bytes) + " bytes of shared memory; there are 232448";
  if (count > ARGUMENTS) message = "there are more than 512 arguments";
  if (!message.empty()) return 1;
  at_work = true;
  launch.function = function;
  launch.call = fitting(count);
  memcpy(launch.words, words, count * sizeof *words);
  gridDim.x = blocks;
  blockDim.x = threads;
  set_up_shared(shared_bytes);
  Block& block = Block::only();
  block.call = [] { launch.call(launch.function, launch.words); };
  Faults& faults = Faults::only();
  if (sigsetjmp(faults.back, 1) == 0) {
    faults.watch();
    run_blocks(blocks, int(threads), shared_bytes, seed);
    faults.ignore();
    message = memory.stray();
    if (message.empty()) message = stray_in_shared();
  } else {
    faults.ignore();
    message = told(faults) + thread_in_words();
    block.clear();
    memory.stray();
  }
  at_work = false;
  return message.empty() ? 0 : 1;
}
}
