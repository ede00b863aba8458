// Memory that is used again: what is kept is bounded, blocks are large enough and come back.
#include "fastin/base/scratch.hpp"

#include <cstdint>
#include <thread>

#include "check.hpp"

using namespace fastin;

namespace {

void blocks_hold_what_was_asked_for() {
  for (std::size_t bytes = 1; bytes < (std::size_t{5} << 20); bytes = bytes * 5 / 4 + 7) {
    auto* block = static_cast<unsigned char*>(take_scratch(bytes));
    block[0] = 1;
    block[bytes - 1] = 2;
    give_scratch(block, bytes);
    CHECK(held_scratch() <= kMostScratch);
  }
}

void a_block_comes_back() {
  void* first = take_scratch(std::size_t{1} << 20);
  give_scratch(first, std::size_t{1} << 20);
  const std::size_t held = held_scratch();
  void* second = take_scratch((std::size_t{1} << 20) - 100);  // the same size of blocks
  CHECK(second == first);
  CHECK(held_scratch() < held);
  give_scratch(second, (std::size_t{1} << 20) - 100);
  CHECK(held_scratch() == held);
}

void what_is_kept_is_bounded() {
  Scratch<std::int64_t> one(6 << 20), two(2 << 20), three(1 << 20);
  one.clear();
  one.shrink_to_fit();
  two.clear();
  two.shrink_to_fit();
  three.clear();
  three.shrink_to_fit();
  CHECK(held_scratch() <= kMostScratch);
  CHECK(held_scratch() > 0);
}

// A large block does not stay beside many small computations.
void what_nothing_asks_for_is_freed() {
  constexpr std::size_t kHuge = std::size_t{24} << 20, kUsed = std::size_t{100} << 10;
  give_scratch(take_scratch(kHuge), kHuge);
  CHECK(held_scratch() >= kHuge);
  for (std::size_t k = 0; k < 2 * kIdleTakes; ++k) give_scratch(take_scratch(kUsed), kUsed);
  CHECK(held_scratch() < kHuge);
  CHECK(held_scratch() >= kUsed);
}

void vectors_cross_threads() {
  Scratch<int> made;
  std::thread worker([&made] { made.assign(100000, 7); });
  worker.join();
  CHECK(made[99999] == 7);
  Scratch<int> copy = made;
  made = Scratch<int>();
  CHECK(copy[0] == 7);
}

}  // namespace

int main() {
  blocks_hold_what_was_asked_for();
  a_block_comes_back();
  what_is_kept_is_bounded();
  what_nothing_asks_for_is_freed();
  vectors_cross_threads();
  return fastin::test::report("scratch");
}
