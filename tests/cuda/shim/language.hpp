// What CUDA C knows without headers, as far as texts of GPU programs use it. Included before the text; no header of the
// C++ library is, because that would take longer to read than most programs.
#pragma once
#include "calls.hpp"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __restrict__ __restrict
#define __align__(n) __attribute__((aligned(n)))

static const int warpSize = 32;

// Where a call stands is known by its line, so that two barriers in two branches are not taken for one.
#define SHIM_HERE int line = __builtin_LINE()

inline void __syncthreads(SHIM_HERE) { shim::barrier(line); }
inline void __syncwarp(unsigned mask = 0xffffffffu, SHIM_HERE) { shim::together(shim::JOIN, mask, nullptr, 0, line); }
inline void __threadfence() {}
inline void __threadfence_block() {}

namespace shim {

inline int lane() { return int(threadIdx.x & 31u); }

template <class T>
inline T shuffle(unsigned mask, T value, int source, int line) {
  static_assert(sizeof(T) <= 8, "shuffles move at most 64 bits");
  Shuffled brought = {0, source};
  __builtin_memcpy(&brought.value, &value, sizeof(T));
  T got;
  __builtin_memcpy(&got, together(SHUFFLE, mask, &brought, sizeof brought, line), sizeof(T));
  return got;
}

inline bool same_part(int a, int b, int width) { return a / width == b / width; }

}  // namespace shim

template <class T>
inline T __shfl_sync(unsigned mask, T value, int source, int width = 32, SHIM_HERE) {
  return shim::shuffle(mask, value, shim::lane() / width * width + (source & (width - 1)), line);
}
template <class T>
inline T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32, SHIM_HERE) {
  const int own = shim::lane(), other = own ^ bits;
  return shim::shuffle(mask, value, other < own || shim::same_part(own, other, width) ? other : own, line);
}
template <class T>
inline T __shfl_down_sync(unsigned mask, T value, int distance, int width = 32, SHIM_HERE) {
  const int own = shim::lane(), other = own + distance;
  return shim::shuffle(mask, value, shim::same_part(own, other, width) ? other : own, line);
}
template <class T>
inline T __shfl_up_sync(unsigned mask, T value, int distance, int width = 32, SHIM_HERE) {
  const int own = shim::lane(), other = own - distance;
  return shim::shuffle(mask, value, other >= 0 && shim::same_part(own, other, width) ? other : own, line);
}
inline unsigned __ballot_sync(unsigned mask, int holds, SHIM_HERE) {
  return *static_cast<const unsigned*>(shim::together(shim::VOTE, mask, &holds, sizeof holds, line));
}
inline int __any_sync(unsigned mask, int holds, SHIM_HERE) { return __ballot_sync(mask, holds, line) != 0; }
inline int __all_sync(unsigned mask, int holds, SHIM_HERE) { return __ballot_sync(mask, holds, line) == mask; }

// One thread runs at a time, and none is suspended within these.
template <class T>
inline T atomicAdd(T* at, T value) {
  const T old = *at;
  *at = old + value;
  return old;
}
template <class T>
inline T atomicMax(T* at, T value) {
  const T old = *at;
  if (value > old) *at = value;
  return old;
}
template <class T>
inline T atomicMin(T* at, T value) {
  const T old = *at;
  if (value < old) *at = value;
  return old;
}
template <class T>
inline T atomicExch(T* at, T value) {
  const T old = *at;
  *at = value;
  return old;
}
template <class T>
inline T atomicCAS(T* at, T expected, T value) {
  const T old = *at;
  if (old == expected) *at = value;
  return old;
}

struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(8) int2 {
  int x, y;
};
struct alignas(16) int4 {
  int x, y, z, w;
};
struct alignas(16) double2 {
  double x, y;
};
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline double2 make_double2(double x, double y) { return {x, y}; }

#define SHIM_UNARY(name) extern "C" double name(double) noexcept; extern "C" float name##f(float) noexcept;
#define SHIM_BINARY(name)                           \
  extern "C" double name(double, double) noexcept; \
  extern "C" float name##f(float, float) noexcept;
SHIM_UNARY(sqrt) SHIM_UNARY(exp) SHIM_UNARY(exp2) SHIM_UNARY(expm1) SHIM_UNARY(log) SHIM_UNARY(log2) SHIM_UNARY(log10)
SHIM_UNARY(log1p) SHIM_UNARY(sin) SHIM_UNARY(cos) SHIM_UNARY(tan) SHIM_UNARY(asin) SHIM_UNARY(acos) SHIM_UNARY(atan)
SHIM_UNARY(sinh) SHIM_UNARY(cosh) SHIM_UNARY(tanh) SHIM_UNARY(erf) SHIM_UNARY(erfc) SHIM_UNARY(floor) SHIM_UNARY(ceil)
SHIM_UNARY(rint) SHIM_UNARY(round) SHIM_UNARY(trunc) SHIM_UNARY(fabs) SHIM_UNARY(lgamma) SHIM_UNARY(tgamma)
SHIM_BINARY(pow) SHIM_BINARY(fmod) SHIM_BINARY(atan2) SHIM_BINARY(fmin) SHIM_BINARY(fmax) SHIM_BINARY(copysign)
extern "C" double fma(double, double, double) noexcept;
extern "C" float fmaf(float, float, float) noexcept;
#undef SHIM_UNARY
#undef SHIM_BINARY

inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
inline float __expf(float x) { return expf(x); }
inline float __logf(float x) { return logf(x); }
inline float __fdividef(float a, float b) { return a / b; }
inline int min(int a, int b) { return a < b ? a : b; }
inline int max(int a, int b) { return a > b ? a : b; }
template <class T>
inline T __ldg(const T* from) {
  return *from;
}
