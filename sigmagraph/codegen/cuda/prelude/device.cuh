// What GPU programs need that is no plain C++: PTX and intrinsics. A host compiler that defines SG_HOST has its own of:
//
//   SG_SHARED(name)            name: unsigned char[], the shared memory of the block, aligned to 128 bytes
//   sg_sync<threads>()         __syncthreads for the first so many threads of a block; the others do not come to one
//   sg_f16_to_f32(bits)        unsigned short to float, exact
//   sg_f32_to_f16(x)           float to the bits of the nearest f16, ties to even; NaN stays NaN
//   sg_f32_to_bf16(x)          float to the bits of the nearest bf16, ties to even; NaN stays NaN
//   sg_exp2_approx(x)          2^x within two units in the last place, 0 where that is no normal number; 1 for 0
//   sg_round_tf32_even(x)     the nearest number with ten bits of fraction, ties to even; from sm_90 on
//   sg_mma_tf32(a, b, c, lane) c[16, 8] += a[16, 8] b[8, 8] by a warp, on what a lane has of each (see tensor_cores.py)
//   sg_mma_bf16, sg_mma_f16    the same of 16 summed indices
//   sg_ldmatrix_f32(from, to, lane, pitch, near, far)
//                              what a lane gets of four matrices in shared memory, 8 rows of 16 bytes each (likewise)
//   sg_ldmatrix_bf16, sg_ldmatrix_f16, sg_ldmatrix_bf16_trans, sg_ldmatrix_f16_trans
//   sg_fetch_f32_4(from, to)   four values from global to shared memory, which are there when the thread has waited
//   sg_fetch_f32_4_by_element  the same where they do not lie at a multiple of their size
//                              and of other types and counts that make 4, 8 or 16 bytes
//   sg_commit_fetches()        what the thread has begun to fetch since the last time becomes a group
//   sg_await_fetches_2()       waits for all groups of the thread but the last two (0 to 7)
//
// and of what CUDA knows without headers, of which texts use:
//
//   __global__ __device__ __forceinline__ __launch_bounds__(threads) __restrict__
//   threadIdx.x blockIdx.x blockDim.x gridDim.x    (unsigned)
//   __syncthreads()
//   __shfl_sync(0xffffffffu, value, lane), __shfl_xor_sync(0xffffffffu, value, mask),
//   __shfl_down_sync(0xffffffffu, value, distance)
//                              of int, long long, float and double; the value of the thread itself where the warp has
//                              no such lane
//   fmaf fma sqrtf sqrt floorf floor ceilf ceil rintf rint

#ifndef SG_HOST

#define SG_SHARED(name) extern __shared__ __align__(128) unsigned char name[]

template <int threads>
SG_INLINE void sg_sync() {
  asm volatile("bar.sync 0, %0;" : : "n"(threads) : "memory");
}

SG_INLINE float sg_f16_to_f32(unsigned short bits) {
  float x;
  asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"(bits));
  return x;
}

SG_INLINE unsigned short sg_f32_to_f16(float x) {
  unsigned short bits;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(x));
  return bits;
}

SG_INLINE unsigned short sg_f32_to_bf16(float x) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  unsigned short bits;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(x));
  return bits;
#else
  return sg_round_to_bf16(x);
#endif
}

SG_INLINE float sg_exp2_approx(float x) {
  float power;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(power) : "f"(x));
  return power;
}

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
SG_INLINE float sg_round_tf32_even(float x) {
  unsigned bits;
  asm("cvt.rn.tf32.f32 %0, %1;" : "=r"(bits) : "f"(x));
  return __uint_as_float(bits);
}
#endif

// Where something lies in shared memory, in bytes. Unlike assembly, compilers know what this does: constants that are
// added to addresses become offsets of instructions.
SG_INLINE unsigned sg_place(const void* at) { return unsigned(__cvta_generic_to_shared(at)); }

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800

// One instruction each. Of two zeros either may be the result.
SG_INLINE float sg_min(float a, float b) {
  float least;
  asm("min.NaN.f32 %0, %1, %2;" : "=f"(least) : "f"(a), "f"(b));
  return least;
}
SG_INLINE float sg_max(float a, float b) {
  float greatest;
  asm("max.NaN.f32 %0, %1, %2;" : "=f"(greatest) : "f"(a), "f"(b));
  return greatest;
}

SG_INLINE void sg_mma_tf32(const float* a, const float* b, float* c, int) {
  asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(sg_bitcast<unsigned>(a[0])), "r"(sg_bitcast<unsigned>(a[1])), "r"(sg_bitcast<unsigned>(a[2])),
        "r"(sg_bitcast<unsigned>(a[3])), "r"(sg_bitcast<unsigned>(b[0])), "r"(sg_bitcast<unsigned>(b[1])));
}

#define SG_MMA_HALVES(type)                                                                                        \
  SG_INLINE void sg_mma_##type(const unsigned short* a, const unsigned short* b, float* c, int) {                  \
    asm("mma.sync.aligned.m16n8k16.row.col.f32." #type "." #type ".f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, " \
        "{%0, %1, %2, %3};"                                                                                        \
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])                                                           \
        : "r"(sg_pair(a)), "r"(sg_pair(a + 2)), "r"(sg_pair(a + 4)), "r"(sg_pair(a + 6)), "r"(sg_pair(b)),         \
          "r"(sg_pair(b + 2)));                                                                                    \
  }
SG_MMA_HALVES(bf16)
SG_MMA_HALVES(f16)

// Lane 8 m + r says where row r of matrix m begins; lanes are counted from 1.
#define SG_LDMATRIX(name, T, suffix)                                                                       \
  SG_INLINE void sg_ldmatrix_##name(const T* from, T* to, int lane, int pitch, int near, int far) {        \
    const int own = lane - 1;                                                                              \
    const T* row = from + own / 8 % 2 * near + own / 16 * far + own % 8 * pitch;                            \
    unsigned words[4];                                                                                     \
    asm volatile(                                                                                          \
        "ldmatrix.sync.aligned.m8n8.x4" suffix ".shared.b16 {%0, %1, %2, %3}, [%4];"                       \
        : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3])                                   \
        : "r"(sg_place(row))                                                                               \
        : "memory");                                                                                       \
    sg_words(to, words);                                                                                   \
  }
SG_LDMATRIX(f32, float, "")
SG_LDMATRIX(bf16, unsigned short, "")
SG_LDMATRIX(f16, unsigned short, "")
SG_LDMATRIX(bf16_trans, unsigned short, ".trans")
SG_LDMATRIX(f16_trans, unsigned short, ".trans")

// Words go through the nearest cache; whole lines of vectors do not.
#define SG_FETCH(name, T, count, through)                                                                        \
  SG_INLINE void sg_fetch_##name##_##count##_by_element(const T* from, T* to) { sg_copy<count>(to, from); }        \
  SG_INLINE void sg_fetch_##name##_##count(const T* from, T* to) {                                                \
    asm volatile(                                                                                                \
        "{ .reg .u64 source; cvta.to.global.u64 source, %1; cp.async." through " [%0], [source], %2; }"          \
        :                                                                                                        \
        : "r"(sg_place(to)), "l"(from), "n"(count * int(sizeof(T)))                                              \
        : "memory");                                                                                             \
  }
#define SG_FETCHES(name, T, word, pair, vector)            \
  SG_FETCH(name, T, word, "ca.shared.global")              \
  SG_FETCH(name, T, pair, "ca.shared.global")              \
  SG_FETCH(name, T, vector, "cg.shared.global.L2::128B")
SG_FETCHES(f32, float, 1, 2, 4)
SG_FETCHES(f16, unsigned short, 2, 4, 8)
SG_FETCHES(bf16, unsigned short, 2, 4, 8)
SG_FETCH(f64, double, 1, "ca.shared.global")
SG_FETCH(f64, double, 2, "cg.shared.global.L2::128B")

SG_INLINE void sg_commit_fetches() { asm volatile("cp.async.commit_group;" : : : "memory"); }
#define SG_AWAIT(count) \
  SG_INLINE void sg_await_fetches_##count() { asm volatile("cp.async.wait_group " #count ";" : : : "memory"); }
SG_AWAIT(0)
SG_AWAIT(1)
SG_AWAIT(2)
SG_AWAIT(3)
SG_AWAIT(4)
SG_AWAIT(5)
SG_AWAIT(6)
SG_AWAIT(7)

#endif

#endif  // SG_HOST
