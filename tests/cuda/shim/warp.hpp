// What the lanes of a warp do together, carried out once for all of them when the last one is here.
#pragma once
#include <cstdint>
#include <cstring>

#include "calls.hpp"
#include "halves.hpp"

namespace shim {

constexpr int LANES = 32;

// What a lane brings, and what it gets.
struct alignas(16) Exchange {
  unsigned char brought[48], got[16];
};

// The number in the lower half of a word.
inline float value(unsigned word, Together what) {
  return what == MMA_F16 ? of_f16(word & 0xffffu) : of_bf16(word & 0xffffu);
}

// PTX ISA, "Matrix fragments for mma.m16n8k16" and "mma.m16n8k8": lane 4 g + t holds rows g and g + 8 of the first
// factor, column g of the second, and columns 2 t and 2 t + 1 of rows g and g + 8 of the sum.
inline void multiply(Exchange* lanes, Together what) {
  const bool halves = what != MMA_TF32;
  const int depth = halves ? 16 : 8;
  float a[16][16], b[16][8];
  for (int lane = 0; lane < LANES; ++lane) {
    Tiles own;
    memcpy(&own, lanes[lane].brought, sizeof own);
    const int g = lane / 4, t = lane % 4;
    for (int half = 0; half < 2; ++half) {
      for (int row = 0; row < 2; ++row) {
        const unsigned word = own.a[2 * half + row];
        if (halves) {
          a[g + 8 * row][8 * half + 2 * t] = value(word, what);
          a[g + 8 * row][8 * half + 2 * t + 1] = value(word >> 16, what);
        } else {  // the lowest 13 bits are not looked at
          const unsigned kept = word & 0xffffe000u;
          memcpy(&a[g + 8 * row][4 * half + t], &kept, 4);
        }
      }
      if (halves) {
        b[8 * half + 2 * t][g] = value(own.b[half], what);
        b[8 * half + 2 * t + 1][g] = value(own.b[half] >> 16, what);
      } else {
        const unsigned kept = own.b[half] & 0xffffe000u;
        memcpy(&b[4 * half + t][g], &kept, 4);
      }
    }
  }
  float sum[16][8] = {};
  for (int row = 0; row < 16; ++row)
    for (int k = 0; k < depth; ++k)
      for (int column = 0; column < 8; ++column) sum[row][column] += a[row][k] * b[k][column];
  for (int lane = 0; lane < LANES; ++lane) {
    Tiles own;
    memcpy(&own, lanes[lane].brought, sizeof own);
    const int g = lane / 4, t = lane % 4;
    for (int part = 0; part < 4; ++part) own.sum[part] += sum[g + part / 2 * 8][2 * t + part % 2];
    memcpy(lanes[lane].got, own.sum, sizeof own.sum);
  }
}

// PTX ISA, ldmatrix: lane 8 i + r brings the address of row r of matrix i, eight values of two bytes; lane 4 r + c gets
// values 2 c and 2 c + 1 of row r of each, or of column r.
inline void load_matrices(Exchange* lanes, bool transposed) {
  for (int lane = 0; lane < LANES; ++lane) {
    uint16_t got[4][2];
    for (int matrix = 0; matrix < 4; ++matrix) {
      for (int half = 0; half < 2; ++half) {
        const int far = lane / 4, near = lane % 4 * 2 + half;
        const uint16_t* row;
        memcpy(&row, lanes[8 * matrix + (transposed ? near : far)].brought, sizeof row);
        got[matrix][half] = row[transposed ? far : near];
      }
    }
    memcpy(lanes[lane].got, got, sizeof got);
  }
}

inline void shuffle(Exchange* lanes, unsigned mask) {
  for (unsigned left = mask; left; left &= left - 1) {
    Exchange& own = lanes[__builtin_ctz(left)];
    Shuffled brought, other;
    memcpy(&brought, own.brought, sizeof brought);
    if (!(mask >> (brought.source & 31) & 1u)) {
      fault("a shuffle takes the value of lane %d, which is not in the mask %08x", brought.source, mask);
    }
    memcpy(&other, lanes[brought.source & 31].brought, sizeof other);
    memcpy(own.got, &other.value, sizeof other.value);
  }
}

inline void vote(Exchange* lanes, unsigned mask) {
  unsigned votes = 0;
  for (unsigned left = mask; left; left &= left - 1) {
    const int lane = __builtin_ctz(left);
    int holds;
    memcpy(&holds, lanes[lane].brought, sizeof holds);
    votes |= unsigned(holds != 0) << lane;
  }
  for (unsigned left = mask; left; left &= left - 1) memcpy(lanes[__builtin_ctz(left)].got, &votes, sizeof votes);
}

inline void carry_out(Together what, Exchange* lanes, unsigned mask) {
  switch (what) {
    case JOIN:
    case WAIT_GROUPS: break;
    case SHUFFLE: shuffle(lanes, mask); break;
    case VOTE: vote(lanes, mask); break;
    case LDMATRIX: load_matrices(lanes, false); break;
    case LDMATRIX_TRANS: load_matrices(lanes, true); break;
    case MMA_BF16:
    case MMA_F16:
    case MMA_TF32: multiply(lanes, what); break;
  }
}

}  // namespace shim
