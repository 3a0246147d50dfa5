// Products by warpgroups, carried out for a warp at once.
//
// The PTX ISA has them read shared memory at any time between the begin and the end of the wait for them. They do so
// either when they are begun or when they are waited for; which it is is drawn, for each warp by itself.
//
// Descriptors are read as the PTX ISA defines them ("Matrix descriptor format" and "Strides" of wgmma), for matrices that
// are not swizzled and whose elements are taken as pieces of 16 bytes. K-major: from one row to the next 16 bytes, from
// the first 8 rows to the next 8 the stride dimension's byte offset, from the first column of pieces to the second the
// leading dimension's. MN-major: from one column to the next 16 bytes, from the first row of pieces to the next the
// stride dimension's byte offset, from the first 8 columns to the next 8 the leading dimension's.
#pragma once
#include <cstring>

#include "block.hpp"

namespace shim {

constexpr int GROUP = 128, GROUP_ROWS = 64, WIDEST = 256;

// Bits of a descriptor: a field of 14 bits, without the last four bits of what it says.
inline size_t field(unsigned long long descriptor, int bit) { return size_t(descriptor >> bit & 0x3fffu) << 4; }

class GroupFactor {
 public:
  GroupFactor(unsigned long long descriptor, bool by_rows, int item, size_t size, const Proxy& proxy)
      : start_(field(descriptor, 0)), leading_(field(descriptor, 16)), stride_(field(descriptor, 32)),
        by_rows_(by_rows), item_(item), size_(size), proxy_(proxy) {
    const unsigned long long fields = 0x3fffull | 0x3fffull << 16 | 0x3fffull << 32;
    if (descriptor & ~fields) fault("wgmma is told of swizzled factors: %016llx", descriptor);
  }

  float at(int row, int deep, Together what) const {
    const int per = 16 / item_, piece = by_rows_ ? row / per : deep / per, within = by_rows_ ? row % per : deep % per;
    const size_t place = start_ + (by_rows_ ? piece * stride_ + deep / 8 * leading_ + deep % 8 * 16
                                            : row / 8 * stride_ + row % 8 * 16 + piece * leading_) + within * item_;
    if (place + item_ > size_) {
      fault("wgmma reads at %zu of %zu bytes of shared memory: row %d, index %d", place, size_, row, deep);
    }
    if (!proxy_.sees(place, item_)) {
      fault("wgmma does not see what was written to byte %zu of shared memory: either sg_publish and a barrier are "
            "missing, or it still had to read what was there before", place);
    }
    unsigned word = 0;
    memcpy(&word, shared + place, item_);
    return what == MMA_TF32 ? float_of(word & 0xffffe000u) : value(word, what);
  }

 private:
  size_t start_, leading_, stride_;
  bool by_rows_;
  int item_;
  size_t size_;
  const Proxy& proxy_;
};

// PTX ISA, figure of the accumulator of wgmma.m64nN: lane 4 g + t of warp w has columns 8 j + 2 t and 8 j + 2 t + 1 of rows
// 16 w + g and 16 w + g + 8. `warp` is the number of the warp in its group, `lanes` are its threads.
inline void multiply_warp(const OfGroup& one, int warp, Thread* lanes, size_t size, const Proxy& proxy) {
  constexpr int ROWS = GROUP_ROWS / 4;
  static float a[16][ROWS], b[16][WIDEST], sum[ROWS][WIDEST];
  const int item = one.what == MMA_TF32 ? 4 : 2, depth = 32 / item;
  const GroupFactor first(one.first, one.rows, item, size, proxy), second(one.second, one.beside, item, size, proxy);
  for (int k = 0; k < depth; ++k) {
    for (int row = 0; row < ROWS; ++row) a[k][row] = first.at(ROWS * warp + row, k, one.what);
    for (int column = 0; column < one.columns; ++column) b[k][column] = second.at(column, k, one.what);
  }
  memset(sum, 0, sizeof sum);
  for (int row = 0; row < ROWS; ++row)
    for (int k = 0; k < depth; ++k)
      for (int column = 0; column < one.columns; ++column) sum[row][column] += a[k][row] * b[k][column];
  for (int lane = 0; lane < LANES; ++lane) {
    const int g = lane / 4, t = lane % 4;
    for (int part = 0; part < one.columns / 2; ++part) {
      lanes[lane].sums[part] += sum[part / 2 % 2 * 8 + g][part / 4 * 8 + 2 * t + part % 2];
    }
  }
}

}  // namespace shim
