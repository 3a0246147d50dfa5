// What the tensor cores of a warpgroup see of shared memory: what threads published before a barrier that lies behind.
//
// PTX ISA, "Async proxy": wgmma reads by another way than threads write by. While a program is watched that multiplies
// so, whatever a thread wrote is found when it stops running, by comparison with what was there before. What was written
// and is what it was before is not found; it makes no difference either.
#pragma once
#include <cstdint>
#include <cstring>
#include <vector>

namespace shim {

class Proxy {
 public:
  bool watching = false;

  // A block begins, of so many threads; shared memory is as it is.
  void begin(const unsigned char* shared, size_t size, int threads) {
    shared_ = shared;
    known_.assign(shared, shared + size);
    seen_ = known_;
    written_.assign(threads, {});
    published_.clear();
  }

  // A thread stops running.
  void note(int thread) {
    for (size_t start = 0; start < known_.size(); start += CHUNK) {
      const size_t end = start + CHUNK < known_.size() ? start + CHUNK : known_.size();
      if (memcmp(shared_ + start, &known_[start], end - start) == 0) continue;
      for (size_t at = start; at < end; ++at) {
        if (shared_[at] == known_[at]) continue;
        known_[at] = shared_[at];
        written_[thread].push_back(at);
      }
    }
  }

  // A thread has what it wrote seen from the next barrier on.
  void publish(int thread) {
    note(thread);
    for (size_t at : written_[thread]) published_.push_back({at, shared_[at]});
    written_[thread].clear();
  }

  void open_barrier() {
    for (const Byte& byte : published_) seen_[byte.at] = byte.value;
    published_.clear();
  }

  // Whether tensor cores read what threads read.
  bool sees(size_t at, size_t size) const { return memcmp(&seen_[at], shared_ + at, size) == 0; }

 private:
  static constexpr size_t CHUNK = 256;
  struct Byte {
    size_t at;
    unsigned char value;
  };

  const unsigned char* shared_ = nullptr;
  std::vector<unsigned char> known_, seen_;   // what is there, and what tensor cores see of it
  std::vector<std::vector<size_t>> written_;  // by thread, what is not published
  std::vector<Byte> published_;               // since the last barrier
};

}  // namespace shim
