#include "fastin/base/scratch.hpp"

#include <array>
#include <new>
#include <vector>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace fastin {
namespace {

constexpr std::size_t kSmall = std::size_t{16} << 10;
constexpr std::size_t kSteps = 4;  // sizes between two powers of two
constexpr std::size_t kSizes = 48 * kSteps;

struct SizeClass {
  std::size_t index, bytes;
};

// The smallest of 16 kB times 1, 1.25, 1.5, 1.75, 2, 2.5... that holds so many bytes.
SizeClass class_of(std::size_t bytes) {
  std::size_t octave = kSmall, index = 0;
  while (2 * octave <= bytes && index + kSteps < kSizes - kSteps) {
    octave *= 2;
    index += kSteps;
  }
  const std::size_t step = octave / kSteps, over = bytes > octave ? (bytes - octave + step - 1) / step : 0;
  return {index + over, octave + over * step};
}

std::size_t bytes_of(std::size_t index) {
  const std::size_t octave = kSmall << (index / kSteps);
  return octave + index % kSteps * (octave / kSteps);
}

// Blocks from this size on start on a large page and ask for large pages.
constexpr std::size_t kLargePage = std::size_t{2} << 20, kLarge = 2 * kLargePage;

void* allocate(std::size_t bytes) {
  if (bytes < kLarge) return ::operator new(bytes);
  void* block = ::operator new(bytes, std::align_val_t{kLargePage});
#ifdef MADV_HUGEPAGE
  madvise(block, bytes / kLargePage * kLargePage, MADV_HUGEPAGE);  // advice: refused, nothing is lost
#endif
  return block;
}

void release(void* block, std::size_t bytes) noexcept {
  if (bytes < kLarge) {
    ::operator delete(block);
  } else {
    ::operator delete(block, std::align_val_t{kLargePage});
  }
}

class Pool {
 public:
  ~Pool() {
    for (std::size_t k = 0; k < kSizes; ++k) release_all(k);
  }
  void* take(const SizeClass& size) {
    if (++taken_ % kIdleTakes == 0) release_idle();
    used_[size.index] = true;
    std::vector<void*>& blocks = kept_[size.index];
    if (blocks.empty()) return allocate(size.bytes);
    void* block = blocks.back();
    blocks.pop_back();
    held_ -= size.bytes;
    return block;
  }
  void give(void* block, const SizeClass& size) noexcept {
    if (held_ + size.bytes > kMostScratch) release_idle();
    if (held_ + size.bytes <= kMostScratch) {
      try {
        kept_[size.index].push_back(block);
        held_ += size.bytes;
        return;
      } catch (const std::bad_alloc&) {  // then it is not kept
      }
    }
    release(block, size.bytes);
  }
  std::size_t held() const { return held_; }

 private:
  void release_all(std::size_t index) noexcept {
    for (void* block : kept_[index]) {
      release(block, bytes_of(index));
      held_ -= bytes_of(index);
    }
    kept_[index].clear();
  }
  // Blocks of a size that nothing asked for since the last time.
  void release_idle() noexcept {
    for (std::size_t k = 0; k < kSizes; ++k) {
      if (!used_[k]) release_all(k);
      used_[k] = false;
    }
  }

  std::array<std::vector<void*>, kSizes> kept_;
  std::array<bool, kSizes> used_{};
  std::size_t held_ = 0, taken_ = 0;
};

Pool& pool() {
  static thread_local Pool kept;
  return kept;
}

}  // namespace

void* take_scratch(std::size_t bytes) {
  return bytes < kSmall ? ::operator new(bytes) : pool().take(class_of(bytes));
}

void give_scratch(void* block, std::size_t bytes) noexcept {
  if (bytes < kSmall) {
    ::operator delete(block);
  } else {
    pool().give(block, class_of(bytes));
  }
}

std::size_t held_scratch() { return pool().held(); }

}  // namespace fastin
