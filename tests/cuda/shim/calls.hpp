// What programs ask of the runtime. These functions may let other threads of the block go on before they return.
#pragma once

struct uint3 {
  unsigned x, y, z;
};
typedef uint3 dim3;

extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;

namespace shim {

// What the lanes of a warp do together.
enum Together : int { JOIN, SHUFFLE, VOTE, LDMATRIX, LDMATRIX_TRANS, MMA_BF16, MMA_F16, MMA_TF32, WAIT_GROUPS };

// What a lane brings to a shuffle: its value, and the lane whose value it takes.
struct Shuffled {
  unsigned long long value;
  int source;
};

// What a lane brings to a product of tiles: its registers of the two factors and of the sum.
struct Tiles {
  unsigned a[4], b[2];
  float sum[4];
};

// A product of a warpgroup: where the factors lie, as wgmma is told.
struct OfGroup {
  Together what;  // which product of a warp has the same types
  int columns;
  bool rows, beside;  // whether rows of the first and columns of the second factor lie side by side
  unsigned long long first, second;
};

extern unsigned char* shared;  // of the block at work

// Waits for that many threads of the block, or for all.
void barrier(int line, int threads = 0);

// What the lane gets when all lanes of the mask are here; valid until it does something together again.
const void* together(Together what, unsigned mask, const void* brought, int size, int line);

// Products are coming that are added to so many sums of the thread: nothing touches these until they are waited for.
void open_products(float* sums, int count);

// One of them.
void add_product(const OfGroup& product);

// They are under way when all threads of the warpgroup are here.
void begin_products();

// Products are done but for those that have been begun last, so many times.
void wait_products(int left, int line);

// The sums, when all products are done.
void take_sums(float* sums, int count);

// From the next barrier on wgmma sees what the thread has written to shared memory.
void publish();

void copy_async(void* target, const void* source, int size, bool taken);
void commit_async();
void wait_async(int groups_left);

[[noreturn]] void fault(const char* form, ...) __attribute__((format(printf, 1, 2)));

}  // namespace shim
