// Plain C++17 that every GPU program begins with; nvcc, NVRTC and g++ take it alike.
//
// A host compiler that executes a program's text defines SG_HOST, which leaves device.cuh out, SG_INLINE, and what stands
// at the top of device.cuh.
//
//   SG_INLINE                  what functions of the prelude begin with
//   sg_lanes<T, N>             N values in a row, moved by one access
//   sg_bitcast<T>(x)           the bits of x as another type of the same width
//   sg_f32(bits), sg_f64(bits) a float by its bits: infinities and NaN
//   sg_cast<T>(x)              a float as an integer: toward zero, saturating, NaN is 0
//   sg_add sub mul neg abs     integer arithmetic that wraps; the least number's absolute value is itself
//   sg_div(a, b)               integers toward zero; 0 for a zero divisor; the least number over -1 is itself
//   sg_and or xor not shl shr  on integers; shr moves zeros in; shifts by the width or more give 0
//   sg_min max                 NaN where an operand is NaN; of two zeros either
//   sg_absolute(x)             of floats, by the sign bit
//   sg_floordiv(a, b)          rounded down, for b > 0
//   sg_quotient(a, b)          the same where a is not negative
//   sg_bf16_to_f32(bits)       exact
//   sg_round_to_bf16(x)        bits of the nearest, ties to even; NaN stays NaN
//   sg_pair(from)              two 16-bit values side by side, as one word
//   sg_words(to, words)        four words as what they hold
//   sg_copy<N>(to, from)       N values one after the other
//   sg_load<N>(to, from)       N values from aligned memory, by accesses of at most 16 bytes
//   sg_load<N>(to, from, if)   the same, or zeros and no access
//   sg_store<N>(to, from)      N values to aligned memory
//   sg_descriptor(place, near, far)
//                              where a matrix lies in shared memory, as wgmma takes it

#ifndef SG_INLINE
#define SG_INLINE __device__ __forceinline__
#endif

template <class T, int N>
struct alignas(sizeof(T) * N) sg_lanes {
  T at[N];
};

template <class T, class S>
SG_INLINE T sg_bitcast(S x) {
  static_assert(sizeof(T) == sizeof(S), "a bitcast keeps the width");
  union {
    S from;
    T to;
  } both;
  both.from = x;
  return both.to;
}

SG_INLINE float sg_f32(unsigned bits) { return sg_bitcast<float>(bits); }
SG_INLINE double sg_f64(unsigned long long bits) { return sg_bitcast<double>(bits); }

// What the integer types are: the unsigned type of the same width, the least and the greatest number.
template <class T>
struct sg_integer;
template <>
struct sg_integer<signed char> {
  typedef unsigned char bits;
  static constexpr signed char least = -128, greatest = 127;
};
template <>
struct sg_integer<unsigned char> {
  typedef unsigned char bits;
  static constexpr unsigned char least = 0, greatest = 255;
};
template <>
struct sg_integer<short> {
  typedef unsigned short bits;
  static constexpr short least = -32768, greatest = 32767;
};
template <>
struct sg_integer<int> {
  typedef unsigned bits;
  static constexpr int least = -2147483647 - 1, greatest = 2147483647;
};
template <>
struct sg_integer<long long> {
  typedef unsigned long long bits;
  static constexpr long long least = -9223372036854775807ll - 1, greatest = 9223372036854775807ll;
};

template <class T, class F>
SG_INLINE T sg_cast(F x) {
  // The greatest number of wide types rounds up to one that is beyond them.
  constexpr T least = sg_integer<T>::least, greatest = sg_integer<T>::greatest;
  return x != x ? T(0) : x <= F(least) ? least : x >= F(greatest) ? greatest : T(x);
}

// Small types are widened to int by C++, where the product of two unsigned shorts overflows: 1u makes it unsigned.
template <class T>
SG_INLINE T sg_add(T a, T b) {
  typedef typename sg_integer<T>::bits U;
  return T(U(U(a) + U(b)));
}
template <class T>
SG_INLINE T sg_sub(T a, T b) {
  typedef typename sg_integer<T>::bits U;
  return T(U(U(a) - U(b)));
}
template <class T>
SG_INLINE T sg_mul(T a, T b) {
  typedef typename sg_integer<T>::bits U;
  return T(U(1u * U(a) * U(b)));
}
template <class T>
SG_INLINE T sg_neg(T a) {
  return sg_sub(T(0), a);
}
template <class T>
SG_INLINE T sg_abs(T a) {
  return a < T(0) ? sg_neg(a) : a;
}
template <class T>
SG_INLINE T sg_div(T a, T b) {
  return b == T(0) ? T(0) : sg_integer<T>::least != T(0) && b == T(-1) ? sg_neg(a) : T(a / b);
}
template <class T>
SG_INLINE T sg_and(T a, T b) {
  return T(a & b);
}
template <class T>
SG_INLINE T sg_or(T a, T b) {
  return T(a | b);
}
template <class T>
SG_INLINE T sg_xor(T a, T b) {
  return T(a ^ b);
}
template <class T>
SG_INLINE T sg_not(T a) {
  return T(~a);
}
template <class T>
SG_INLINE T sg_shl(T a, T b) {
  typedef typename sg_integer<T>::bits U;
  return U(b) < sizeof(T) * 8 ? T(U(1u * U(a) << U(b))) : T(0);
}
template <class T>
SG_INLINE T sg_shr(T a, T b) {
  typedef typename sg_integer<T>::bits U;
  return U(b) < sizeof(T) * 8 ? T(U(U(a) >> U(b))) : T(0);
}

template <class T>
SG_INLINE T sg_min(T a, T b) {
  return a != a ? a : a < b ? a : b;
}
template <class T>
SG_INLINE T sg_max(T a, T b) {
  return a != a ? a : a > b ? a : b;
}
SG_INLINE float sg_absolute(float x) { return sg_f32(sg_bitcast<unsigned>(x) & 0x7fffffffu); }
SG_INLINE double sg_absolute(double x) { return sg_f64(sg_bitcast<unsigned long long>(x) & 0x7fffffffffffffffull); }

SG_INLINE sg_index sg_floordiv(sg_index a, sg_index b) { return a / b - (a % b < 0); }
SG_INLINE sg_index sg_quotient(sg_index a, sg_index b) { return sg_index(unsigned(a) / unsigned(b)); }
SG_INLINE long long sg_floordiv(long long a, long long b) { return a / b - (a % b < 0); }

SG_INLINE float sg_bf16_to_f32(unsigned short bits) { return sg_f32(unsigned(bits) << 16); }
SG_INLINE unsigned short sg_round_to_bf16(float x) {
  const unsigned bits = sg_bitcast<unsigned>(x), upper = bits >> 16;
  return (unsigned short)(x != x ? upper | 0x40u : (bits + (upper & 1u) + 0x7fffu) >> 16);
}

SG_INLINE unsigned sg_pair(const unsigned short* from) { return from[0] | unsigned(from[1]) << 16; }
SG_INLINE void sg_words(unsigned short* to, const unsigned (&words)[4]) {
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    to[2 * i] = (unsigned short)words[i];
    to[2 * i + 1] = (unsigned short)(words[i] >> 16);
  }
}
SG_INLINE void sg_words(float* to, const unsigned (&words)[4]) {
#pragma unroll
  for (int i = 0; i < 4; ++i) to[i] = sg_bitcast<float>(words[i]);
}

template <int N, class T>
SG_INLINE void sg_copy(T* to, const T* from) {
#pragma unroll
  for (int lane = 0; lane < N; ++lane) to[lane] = from[lane];
}
template <int N, class T>
SG_INLINE void sg_load(T (&to)[N], const T* from) {
  constexpr int W = sizeof(T) * N > 16 ? 16 / int(sizeof(T)) : N;
#pragma unroll
  for (int part = 0; part < N / W; ++part) {
    const sg_lanes<T, W> whole = reinterpret_cast<const sg_lanes<T, W>*>(from)[part];
#pragma unroll
    for (int lane = 0; lane < W; ++lane) to[part * W + lane] = whole.at[lane];
  }
}
template <int N, class T>
SG_INLINE void sg_load(T (&to)[N], const T* from, bool allowed) {
  if (allowed) {
    sg_load<N>(to, from);
  } else {
#pragma unroll
    for (int lane = 0; lane < N; ++lane) to[lane] = T(0);
  }
}
template <int N, class T>
SG_INLINE void sg_store(T* to, const T (&from)[N]) {
  constexpr int W = sizeof(T) * N > 16 ? 16 / int(sizeof(T)) : N;
#pragma unroll
  for (int part = 0; part < N / W; ++part) {
    sg_lanes<T, W> whole;
#pragma unroll
    for (int lane = 0; lane < W; ++lane) whole.at[lane] = from[part * W + lane];
    reinterpret_cast<sg_lanes<T, W>*>(to)[part] = whole;
  }
}

// PTX ISA, "Matrix descriptor format" of wgmma: bits 0-13 the place, 16-29 the leading dimension's and 32-45 the stride
// dimension's byte offset, all of them without their last four bits; no swizzling (bits 62-63). For matrices that are not
// swizzled the leading dimension is the summed one, near, and the stride dimension that of rows, far.
SG_INLINE unsigned long long sg_descriptor(unsigned place, unsigned near, unsigned far) {
  return (place >> 4 & 0x3fffull) | (near >> 4 & 0x3fffull) << 16 | (far >> 4 & 0x3fffull) << 32;
}
