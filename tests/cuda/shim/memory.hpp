// Memory of the pretended device. Each piece ends before a page that cannot be touched, and has one in front.
//
// A fresh piece is filled with 0xFF, which is NaN as any float. What is left over of its pages, in front and up to 15
// bytes behind, is filled with another NaN for each piece, so that a copy from behind one to behind another one shows,
// and is looked at after every launch.
#pragma once
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <list>
#include <string>

namespace shim {

constexpr size_t ALIGNED = 16;
inline const size_t GUARD = size_t(sysconf(_SC_PAGESIZE));
constexpr int POISON = 0xFF;

struct Piece {
  std::string name;
  size_t size;
  char* start;          // of the pages
  size_t pages;         // bytes of them
  unsigned char* data;  // where it begins
  uint32_t mark;        // what is left over is filled with; two floats of 16 bits or one of 32 that are NaN

  unsigned char* end() const { return data + size; }
  unsigned char* front() const { return reinterpret_cast<unsigned char*>(start); }
  unsigned char* limit() const { return front() + pages; }
  inline void refill() const;
  inline const unsigned char* stray() const;
};

inline size_t rounded(size_t size, size_t to) { return (size + to - 1) / to * to; }

inline uint32_t next_mark() {
  static uint32_t made = 0;
  return 0xFFFF0000u + 0xFF81u + made++ % 126u;
}

// Fill from one address to another with copies of a word that lie at multiples of 4.
inline void fill_with(uint32_t mark, unsigned char* from, unsigned char* to) {
  for (; from < to; ++from) *from = (unsigned char)(mark >> 8 * (uintptr_t(from) & 3u));
}

// The first byte that is not as it was filled, or null.
inline const unsigned char* touched(uint32_t mark, const unsigned char* from, const unsigned char* to) {
  while (from < to) {
    if ((uintptr_t(from) & 3u) == 0 && to - from >= 4 && memcmp(from, &mark, 4) == 0) {
      from += 4;
    } else if (*from == (unsigned char)(mark >> 8 * (uintptr_t(from) & 3u))) {
      ++from;
    } else {
      return from;
    }
  }
  return nullptr;
}

inline void Piece::refill() const {
  fill_with(mark, front(), data);
  fill_with(mark, end(), limit());
}

inline const unsigned char* Piece::stray() const {
  const unsigned char* found = touched(mark, front(), data);
  return found ? found : touched(mark, end(), limit());
}

inline Piece make_piece(std::string name, size_t size) {
  const size_t pages = rounded(size ? size : 1, GUARD);
  char* map = static_cast<char*>(
      mmap(nullptr, pages + 2 * GUARD, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
  if (map == MAP_FAILED) return {std::move(name), size, nullptr, 0, nullptr, 0};
  char* start = map + GUARD;
  mprotect(start, pages, PROT_READ | PROT_WRITE);
  unsigned char* data = reinterpret_cast<unsigned char*>(start + pages - rounded(size, ALIGNED));
  Piece piece = {std::move(name), size, start, pages, data, next_mark()};
  memset(data, POISON, size);
  piece.refill();
  return piece;
}

inline void drop_piece(const Piece& piece) { munmap(piece.start - GUARD, piece.pages + 2 * GUARD); }

class Memory {
 public:
  void* allocate(size_t size, const char* name) {
    Piece piece = make_piece(name, size);
    if (!piece.start) return nullptr;
    pieces_.push_back(piece);
    return piece.data;
  }

  bool release(const void* data) {
    for (auto piece = pieces_.begin(); piece != pieces_.end(); ++piece) {
      if (piece->data != data) continue;
      drop_piece(*piece);
      pieces_.erase(piece);
      return true;
    }
    return false;
  }

  // Where bytes were written that belong to nobody: only those next to pieces are looked at.
  std::string stray() {
    for (const Piece& piece : pieces_) {
      const unsigned char* found = piece.stray();
      if (!found) continue;
      piece.refill();
      return "a write to " + relation(piece, found);
    }
    return "";
  }

  // Where an address is, in words.
  std::string describe(const void* address, const Piece& shared) const {
    const unsigned char* at = static_cast<const unsigned char*>(address);
    const Piece* nearest = &shared;
    for (const Piece& piece : pieces_)
      if (distance(piece, at) < distance(*nearest, at)) nearest = &piece;
    char text[64];
    snprintf(text, sizeof text, "address %p", address);
    if (distance(*nearest, at) > (size_t(1) << 30)) return std::string(text) + ", which is near nothing";
    return std::string(text) + ", " + relation(*nearest, at);
  }

 private:
  static size_t distance(const Piece& piece, const unsigned char* at) {
    return at < piece.data ? piece.data - at : at < piece.end() ? 0 : at - piece.end();
  }

  static std::string relation(const Piece& piece, const unsigned char* at) {
    const char* inside = at < piece.end() ? "within '" : "behind the end of '";
    const char* where = at < piece.data ? "before the start of '" : inside;
    const size_t bytes = at < piece.data ? piece.data - at : at < piece.end() ? at - piece.data : at - piece.end();
    return std::to_string(bytes) + " bytes " + where + piece.name + "' (" + std::to_string(piece.size) + " bytes)";
  }

  std::list<Piece> pieces_;
};

}  // namespace shim
