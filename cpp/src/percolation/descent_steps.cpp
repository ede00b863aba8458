#include "fastin/percolation/descent_steps.hpp"

#include <new>

namespace fastin {
namespace {

template <class T>
T* zeros(std::size_t n) {
  T* values = static_cast<T*>(take_scratch(n * sizeof(T)));
  for (std::size_t i = 0; i < n; ++i) new (values + i) T(0);
  return values;
}

}  // namespace

DescentSteps::DescentSteps(std::size_t points)
    : blocks_((points + kBlock - 1) / kBlock), chunk_count_((blocks_ + kChunk - 1) / kChunk) {
  chunks_ = std::make_unique<std::atomic<Word*>[]>(chunk_count_);
  for (std::size_t c = 0; c < chunk_count_; ++c) chunks_[c].store(nullptr, std::memory_order_relaxed);
  numbers_ = zeros<std::atomic<std::uint32_t>>(blocks_);
}

DescentSteps::~DescentSteps() {
  for (std::size_t c = 0; c < chunk_count_; ++c) {
    Word* words = chunks_[c].load(std::memory_order_relaxed);
    if (words != nullptr) give_scratch(words, kChunk * kBlock * sizeof(Word));
  }
  give_scratch(numbers_, blocks_ * sizeof(*numbers_));
}

std::uint32_t DescentSteps::add_block() {
  const std::uint32_t block = used_.fetch_add(1, std::memory_order_relaxed);
  std::atomic<Word*>& chunk = chunks_[block / kChunk];
  if (chunk.load(std::memory_order_acquire) == nullptr) {
    const std::lock_guard<std::mutex> lock(growing_);
    if (chunk.load(std::memory_order_relaxed) == nullptr)
      chunk.store(zeros<Word>(kChunk * kBlock), std::memory_order_release);
  }
  return block + kFirst;
}

void DescentSteps::set(std::int32_t point, const DescentStep& step) {
  const auto i = static_cast<std::size_t>(point);
  std::atomic<std::uint32_t>& slot = numbers_[i / kBlock];
  std::uint32_t number = slot.load(std::memory_order_acquire);
  if (number == kNone) {
    if (!slot.compare_exchange_strong(number, kBusy, std::memory_order_acquire)) {
      if (number == kBusy) return;
    } else {
      number = add_block();
      slot.store(number, std::memory_order_release);
    }
  } else if (number == kBusy) {
    return;
  }
  const std::uint64_t low = static_cast<std::uint32_t>(step.target);
  const std::uint64_t high = static_cast<std::uint32_t>(step.shift);
  word(number, i).store(low | high << 32, std::memory_order_relaxed);
}

}  // namespace fastin
