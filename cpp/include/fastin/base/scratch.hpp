// Scratch: vectors whose memory is used again by the next computation of the same thread. Fresh pages cost
// more than the arithmetic on them (a page fault is 0.2 to 0.5 us a 4 kB page).
#pragma once

#include <cstddef>
#include <new>
#include <vector>

namespace fastin {

// A block of at least so many bytes (large ones on large pages where the system has them), kept for this
// thread when it is released, kMostScratch bytes in all at most. Blocks of a size that nothing asks for
// during kIdleTakes requests, or when there is no room, are freed; the others when their thread ends. Small
// blocks come from the heap.
constexpr std::size_t kMostScratch = std::size_t{32} << 20;
constexpr std::size_t kIdleTakes = 1024;  // a small crystal's network makes about twenty
void* take_scratch(std::size_t bytes);
void give_scratch(void* block, std::size_t bytes) noexcept;
std::size_t held_scratch();  // bytes that this thread keeps

template <class T>
struct ScratchAllocator {
  using value_type = T;
  ScratchAllocator() = default;
  template <class U>
  ScratchAllocator(const ScratchAllocator<U>&) {}  // NOLINT: allocators convert
  T* allocate(std::size_t n) {
    if (n > static_cast<std::size_t>(-1) / sizeof(T)) throw std::bad_alloc();
    return static_cast<T*>(take_scratch(n * sizeof(T)));
  }
  void deallocate(T* p, std::size_t n) noexcept { give_scratch(p, n * sizeof(T)); }
};
template <class T, class U>
bool operator==(const ScratchAllocator<T>&, const ScratchAllocator<U>&) {
  return true;
}
template <class T, class U>
bool operator!=(const ScratchAllocator<T>&, const ScratchAllocator<U>&) {
  return false;
}

template <class T>
using Scratch = std::vector<T, ScratchAllocator<T>>;

}  // namespace fastin
