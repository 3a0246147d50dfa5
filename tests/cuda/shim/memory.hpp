// Memory of the pretended device. Each piece ends before a page that cannot be touched, and has one in front.
//
// What is left over of its pages, in front and up to 15 bytes behind, is filled with 0xFF like the fresh piece itself, and
// looked at after every launch.
#pragma once
#include <sys/mman.h>

#include <cstdio>
#include <cstring>
#include <list>
#include <string>

namespace shim {

constexpr size_t GUARD = 4096, ALIGNED = 16;
constexpr int POISON = 0xFF;

struct Piece {
  std::string name;
  size_t size;
  char* start;          // of the pages
  size_t pages;         // bytes of them
  unsigned char* data;  // where it begins

  unsigned char* end() const { return data + size; }
  unsigned char* limit() const { return reinterpret_cast<unsigned char*>(start + pages); }
};

inline size_t rounded(size_t size, size_t to) { return (size + to - 1) / to * to; }

inline Piece make_piece(std::string name, size_t size) {
  const size_t pages = rounded(size ? size : 1, GUARD);
  char* map = static_cast<char*>(
      mmap(nullptr, pages + 2 * GUARD, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
  if (map == MAP_FAILED) return {std::move(name), size, nullptr, 0, nullptr};
  char* start = map + GUARD;
  mprotect(start, pages, PROT_READ | PROT_WRITE);
  memset(start, POISON, pages);
  return {std::move(name), size, start, pages, reinterpret_cast<unsigned char*>(start + pages - rounded(size, ALIGNED))};
}

inline void drop_piece(const Piece& piece) { munmap(piece.start - GUARD, piece.pages + 2 * GUARD); }

// The first byte from `from` on that is not as it was, or null.
inline const unsigned char* touched(const unsigned char* from, const unsigned char* to) {
  for (; from < to; ++from)
    if (*from != POISON) return from;
  return nullptr;
}

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
    for (Piece& piece : pieces_) {
      const unsigned char* found = touched(reinterpret_cast<unsigned char*>(piece.start), piece.data);
      if (!found) found = touched(piece.end(), piece.limit());
      if (!found) continue;
      memset(piece.start, POISON, piece.data - reinterpret_cast<unsigned char*>(piece.start));
      memset(piece.end(), POISON, piece.limit() - piece.end());
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
    const char* where = at < piece.data ? "before" : at < piece.end() ? "within" : "behind";
    const size_t bytes = at < piece.data ? piece.data - at : at < piece.end() ? at - piece.data : at - piece.end();
    return std::to_string(bytes) + " bytes " + where + (at < piece.data ? " the start of '" : at < piece.end() ? " '" : " the end of '") +
           piece.name + "' (" + std::to_string(piece.size) + " bytes)";
  }

  std::list<Piece> pieces_;
};

}  // namespace shim
