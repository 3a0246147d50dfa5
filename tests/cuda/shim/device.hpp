// Bodies of what the text's device.cuh has PTX for: SG_HOST leaves that out of the text.
#pragma once
#include "halves.hpp"
#include "language.hpp"

#define SG_HOST
#define SG_INLINE static inline __attribute__((unused))
#define SG_SHARED(name) unsigned char* const name = shim::shared

namespace shim {

inline void need_aligned(const void* at, int line, unsigned size = 16) {
  if (reinterpret_cast<unsigned long long>(at) & (size - 1)) {
    fault("line %d: the address %p is no multiple of %u", line, at, size);
  }
}

}  // namespace shim

template <int threads>
SG_INLINE void sg_sync(SHIM_HERE) {
  shim::barrier(line, threads);
}

SG_INLINE float sg_f16_to_f32(unsigned short bits) { return shim::of_f16(bits); }

SG_INLINE unsigned short sg_f32_to_f16(float x) {
  const unsigned bits = shim::bits_of(x), sign = bits >> 16 & 0x8000u, size = bits & 0x7fffffffu;
  if (size > 0x7f800000u) return 0x7fffu;
  if (size >= 0x477ff000u) return (unsigned short)(sign | 0x7c00u);  // 65520 and more round to infinity
  // Below 2^-14 the steps are 2^-24 wide, which is what a sum with 0.5 is rounded to.
  if (size < 0x38800000u) {
    return (unsigned short)(sign | (shim::bits_of(shim::float_of(size) + 0.5f) - shim::bits_of(0.5f)));
  }
  return (unsigned short)(sign | (size - (112u << 23) + 0xfffu + (size >> 13 & 1u)) >> 13);
}

SG_INLINE unsigned short sg_f32_to_bf16(float x) {
  const unsigned bits = shim::bits_of(x);
  if (x != x) return (unsigned short)(bits >> 16 | 0x40u);
  return (unsigned short)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

// As far from 2^x as ex2.approx.ftz.f32 may be, to one side or the other; exact where the PTX ISA has it in its table.
// Subnormal operands and results are 0.
SG_INLINE float sg_exp2_approx(float x) {
  if (__builtin_fabsf(x) < 0x1p-126f) return 1.0f;
  const float power = float(__builtin_exp2(double(x)));
  if (!(power < __builtin_inff())) return power;
  const float off = shim::float_of(shim::bits_of(power) + ((shim::bits_of(x) & 1u) != 0u ? 2u : -2u));
  return power >= 0x1p-126f && off >= 0x1p-126f ? off : 0.0f;
}

// Nearest, ties to even: cvt.rn.tf32.f32.
SG_INLINE float sg_round_tf32_even(float x) {
  const unsigned bits = shim::bits_of(x);
  if ((bits & 0x7f800000u) == 0x7f800000u) return x;
  return shim::float_of((bits + 0xfffu + (bits >> 13 & 1u)) & 0xffffe000u);
}

// Nearest, ties away from zero: cvt.rna.tf32.f32.
SG_INLINE unsigned sg_f32_to_tf32(float x) {
  const unsigned bits = shim::bits_of(x);
  return (bits & 0x7f800000u) == 0x7f800000u ? bits : (bits + 0x1000u) & 0xffffe000u;
}

SG_INLINE void sg_cp_async16(void* target, const void* source, bool taken, SHIM_HERE) {
  shim::need_aligned(target, line);
  shim::need_aligned(source, line);
  shim::copy_async(target, source, 16, taken);
}
SG_INLINE void sg_cp_async_commit() { shim::commit_async(); }
template <int N>
SG_INLINE void sg_cp_async_wait() {
  shim::wait_async(N);
}

namespace shim {
template <int N, class T>
inline void fetch(const T* from, T* to, int line) {
  need_aligned(from, line, sizeof(T) * N);
  need_aligned(to, line, sizeof(T) * N);
  copy_async(to, from, sizeof(T) * N, true);
}
}  // namespace shim

#define SHIM_FETCH(name, T, count)                                                                         \
  SG_INLINE void sg_fetch_##name##_##count##_by_element(const T* from, T* to) {                              \
    for (int lane = 0; lane < count; ++lane) to[lane] = from[lane];                                        \
  }                                                                                                        \
  SG_INLINE void sg_fetch_##name##_##count(const T* from, T* to, SHIM_HERE) { shim::fetch<count>(from, to, line); }
#define SHIM_FETCHES(name, T, word, pair, vector) \
  SHIM_FETCH(name, T, word) SHIM_FETCH(name, T, pair) SHIM_FETCH(name, T, vector)
SHIM_FETCHES(f32, float, 1, 2, 4)
SHIM_FETCHES(f16, unsigned short, 2, 4, 8)
SHIM_FETCHES(bf16, unsigned short, 2, 4, 8)
SHIM_FETCH(f64, double, 1)
SHIM_FETCH(f64, double, 2)

SG_INLINE void sg_commit_fetches() { shim::commit_async(); }
#define SHIM_AWAIT(count) \
  SG_INLINE void sg_await_fetches_##count() { shim::wait_async(count); }
SHIM_AWAIT(0)
SHIM_AWAIT(1)
SHIM_AWAIT(2)
SHIM_AWAIT(3)
SHIM_AWAIT(4)
SHIM_AWAIT(5)
SHIM_AWAIT(6)
SHIM_AWAIT(7)

namespace shim {
inline void ldmatrix(Together what, unsigned (&to)[4], const void* from, int line) {
  need_aligned(from, line);
  __builtin_memcpy(to, together(what, 0xffffffffu, &from, sizeof from, line), sizeof to);
}
inline void multiply(Together what, float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2], int line) {
  Tiles brought;
  __builtin_memcpy(brought.a, a, sizeof a);
  __builtin_memcpy(brought.b, b, sizeof b);
  __builtin_memcpy(brought.sum, d, sizeof d);
  __builtin_memcpy(d, together(what, 0xffffffffu, &brought, sizeof brought, line), sizeof d);
}
}  // namespace shim

SG_INLINE void sg_ldmatrix_x4(unsigned (&to)[4], const void* from, SHIM_HERE) {
  shim::ldmatrix(shim::LDMATRIX, to, from, line);
}
SG_INLINE void sg_ldmatrix_x4_trans(unsigned (&to)[4], const void* from, SHIM_HERE) {
  shim::ldmatrix(shim::LDMATRIX_TRANS, to, from, line);
}
SG_INLINE void sg_mma_bf16_16816(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2], SHIM_HERE) {
  shim::multiply(shim::MMA_BF16, d, a, b, line);
}
SG_INLINE void sg_mma_tf32_1688(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2], SHIM_HERE) {
  shim::multiply(shim::MMA_TF32, d, a, b, line);
}

SG_INLINE void sg_mma_f16_16816(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2], SHIM_HERE) {
  shim::multiply(shim::MMA_F16, d, a, b, line);
}

// On what lanes hold in memory.
namespace shim {
template <class T>
inline void multiply(Together what, const T* a, const T* b, float* c, int line) {
  unsigned first[4], second[2];
  float sums[4];
  __builtin_memcpy(first, a, sizeof first);
  __builtin_memcpy(second, b, sizeof second);
  __builtin_memcpy(sums, c, sizeof sums);
  multiply(what, sums, first, second, line);
  __builtin_memcpy(c, sums, sizeof sums);
}
}  // namespace shim

SG_INLINE void sg_mma_tf32(const float* a, const float* b, float* c, int, SHIM_HERE) {
  shim::multiply(shim::MMA_TF32, a, b, c, line);
}
SG_INLINE void sg_mma_bf16(const unsigned short* a, const unsigned short* b, float* c, int, SHIM_HERE) {
  shim::multiply(shim::MMA_BF16, a, b, c, line);
}
SG_INLINE void sg_mma_f16(const unsigned short* a, const unsigned short* b, float* c, int, SHIM_HERE) {
  shim::multiply(shim::MMA_F16, a, b, c, line);
}

namespace shim {
template <class T>
inline void ldmatrix(Together what, const T* from, T* to, int own, int pitch, int near, int far, int line) {
  unsigned words[4];
  ldmatrix(what, words, from + own / 8 % 2 * near + own / 16 * far + own % 8 * pitch, line);
  __builtin_memcpy(to, words, sizeof words);
}
}  // namespace shim

#define SHIM_LDMATRIX(name, T, what)                                                                            \
  SG_INLINE void sg_ldmatrix_##name(const T* from, T* to, int lane, int pitch, int near, int far, SHIM_HERE) {  \
    shim::ldmatrix(shim::what, from, to, lane - 1, pitch, near, far, line);                                     \
  }
SHIM_LDMATRIX(f32, float, LDMATRIX)
SHIM_LDMATRIX(bf16, unsigned short, LDMATRIX)
SHIM_LDMATRIX(f16, unsigned short, LDMATRIX)
SHIM_LDMATRIX(bf16_trans, unsigned short, LDMATRIX_TRANS)
SHIM_LDMATRIX(f16_trans, unsigned short, LDMATRIX_TRANS)

// Of warpgroups (warpgroup.cuh): addresses are counted from the begin of shared memory. Sums are NaN until they have been
// waited for.
SG_INLINE unsigned sg_place(const void* from, SHIM_HERE) {
  shim::need_aligned(from, line);
  return unsigned(static_cast<const unsigned char*>(from) - shim::shared);
}
SG_INLINE void sg_publish() { shim::publish(); }
template <int columns>
SG_INLINE void sg_wgmma_open(float* sums, int own) {
  if (own != int(threadIdx.x % 128u) + 1) shim::fault("the thread takes itself for number %d of its warpgroup", own);
  shim::open_products(sums, columns / 2);
}
template <int columns>
SG_INLINE void sg_wgmma_begin(float*) {
  shim::begin_products();
}
template <int columns>
SG_INLINE void sg_wgmma_wait(float* sums, SHIM_HERE) {
  shim::wait_products(0, line);
  shim::take_sums(sums, columns / 2);
}
template <int columns>
SG_INLINE void sg_wgmma_wait_behind(float* sums, SHIM_HERE) {
  sg_wgmma_wait<columns>(sums, line);
}
template <class T>
SG_INLINE void sg_wgmma_wait_older(const T*, const T*, int, int, SHIM_HERE) {
  shim::wait_products(1, line);
}

#define SHIM_WGMMA(name, what)                                                                                  \
  template <int columns, bool rows, bool beside>                                                                \
  SG_INLINE void sg_wgmma_##name##_slice(unsigned long long first, unsigned long long second, float*) {         \
    shim::add_product({shim::what, columns, rows, beside, first, second});                                      \
  }
SHIM_WGMMA(bf16, MMA_BF16)
SHIM_WGMMA(f16, MMA_F16)
SHIM_WGMMA(tf32, MMA_TF32)

#pragma GCC poison __shared__
