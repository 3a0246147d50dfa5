// What GPU programs need that is no plain C++: PTX and intrinsics. A host compiler that defines SG_HOST has its own of:
//
//   SG_SHARED(name)            name: unsigned char[], the shared memory of the block, aligned to 128 bytes
//   sg_sync<threads>()         __syncthreads for the first so many threads of a block; the others do not come to one
//   sg_f16_to_f32(bits)        unsigned short to float, exact
//   sg_f32_to_f16(x)           float to the bits of the nearest f16, ties to even; NaN stays NaN
//   sg_f32_to_bf16(x)          float to the bits of the nearest bf16, ties to even; NaN stays NaN
//
// and of what CUDA knows without headers, of which texts use:
//
//   __global__ __device__ __forceinline__ __launch_bounds__(threads) __restrict__
//   threadIdx.x blockIdx.x blockDim.x gridDim.x    (unsigned)
//   __syncthreads()
//   __shfl_xor_sync(0xffffffffu, value, mask), __shfl_down_sync(0xffffffffu, value, distance)
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

#endif  // SG_HOST
