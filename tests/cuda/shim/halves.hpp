// The numbers that 16 bits stand for.
#pragma once

namespace shim {

inline unsigned bits_of(float x) {
  unsigned bits;
  __builtin_memcpy(&bits, &x, 4);
  return bits;
}
inline float float_of(unsigned bits) {
  float x;
  __builtin_memcpy(&x, &bits, 4);
  return x;
}

inline float of_bf16(unsigned bits) { return float_of(bits << 16); }

inline float of_f16(unsigned bits) {
  const unsigned sign = (bits & 0x8000u) << 16, exponent = bits >> 10 & 31u, fraction = bits & 1023u;
  if (exponent == 31u) return float_of(sign | 0x7f800000u | fraction << 13 | (fraction ? 0x400000u : 0u));
  if (exponent == 0u) return float_of(sign | bits_of(float(fraction) * 0x1p-24f));
  return float_of(sign | (exponent + 112u) << 23 | fraction << 13);
}

}  // namespace shim
