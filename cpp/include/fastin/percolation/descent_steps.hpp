// Steps down a grid, one word a point, in blocks that come into being when a point of theirs is written.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>

#include "fastin/base/scratch.hpp"

namespace fastin {

struct DescentStep {
  std::int32_t target;  // 0 unknown; 1 + a point further down; at a minimum -(basin + 1)
  std::int32_t shift;   // packed cells of that jump
};

// A barrier asks for a few of the points (of a garnet's 17 million, 12,000). Memory of one word a point, even
// if it starts as untouched zeros, costs two page faults for each of them, and the second (the shared page of
// zeros is replaced) interrupts every processor that runs a thread of the program.
//
// Threads may read and write at once. A point that one of them writes may remain unknown to the others for a
// while, or for ever: what is kept here is what can be found again.
class DescentSteps {
 public:
  explicit DescentSteps(std::size_t points);
  ~DescentSteps();
  DescentSteps(const DescentSteps&) = delete;
  DescentSteps& operator=(const DescentSteps&) = delete;

  DescentStep get(std::int32_t point) const {
    const auto i = static_cast<std::size_t>(point);
    const std::uint32_t number = numbers_[i / kBlock].load(std::memory_order_acquire);
    if (number == kNone || number == kBusy) return {0, 0};
    return unpacked(word(number, i).load(std::memory_order_relaxed));
  }
  // Never lost where no other thread writes meanwhile. Throws std::bad_alloc.
  void set(std::int32_t point, const DescentStep& step);

 private:
  // The two halves of a step, so that threads never see one of each of two steps.
  using Word = std::atomic<std::uint64_t>;
  static constexpr std::size_t kBlock = 32;                         // words
  static constexpr std::size_t kChunk = 256;                        // blocks whose memory is taken together
  static constexpr std::uint32_t kNone = 0, kBusy = 1, kFirst = 2;  // blocks are numbered from kFirst

  static DescentStep unpacked(std::uint64_t bits) {
    return {static_cast<std::int32_t>(bits & 0xFFFFFFFFu), static_cast<std::int32_t>(bits >> 32)};
  }
  Word& word(std::uint32_t number, std::size_t i) const {
    const std::size_t block = number - kFirst;
    return chunks_[block / kChunk].load(std::memory_order_relaxed)[block % kChunk * kBlock + i % kBlock];
  }
  std::uint32_t add_block();

  std::size_t blocks_;
  std::atomic<std::uint32_t>* numbers_;  // by block of the grid
  std::unique_ptr<std::atomic<Word*>[]> chunks_;
  std::size_t chunk_count_;
  std::atomic<std::uint32_t> used_{0};
  std::mutex growing_;
};

}  // namespace fastin
