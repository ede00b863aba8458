// The fuzzers' bodies on seeded random bytes: what every test run, and the sanitizers, see of the hostile
// families. FASTIN_FUZZ_SEED and FASTIN_FUZZ_COUNT choose others and more (docs/guide/fuzzing.md).
#include <cstdlib>
#include <string>
#include <vector>

#include "../../fuzz/bodies.hpp"
#include "check.hpp"

namespace {

std::uint64_t number(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

// splitmix64 (Steele, Lea and Flood, OOPSLA 2014): the same bytes on every platform.
std::vector<std::uint8_t> random_bytes(std::uint64_t state, std::size_t size) {
  std::vector<std::uint8_t> out;
  while (out.size() < size) {
    state += 0x9E3779B97F4A7C15u;
    std::uint64_t z = state;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    z ^= z >> 31;
    for (int k = 0; k < 8; ++k) out.push_back(static_cast<std::uint8_t>(z >> (8 * k)));
  }
  return out;
}

}  // namespace

int main() {
  const std::uint64_t seed = number("FASTIN_FUZZ_SEED", 19), count = number("FASTIN_FUZZ_COUNT", 60);
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::vector<std::uint8_t> bytes = random_bytes(seed * 1000003u + i, 256);
    if (std::getenv("FASTIN_FUZZ_PRINT") != nullptr)
      std::fprintf(stderr, "case %llu\n", static_cast<unsigned long long>(i));
    fastin::fuzz::run_tessellation(bytes.data(), bytes.size());
    const fastin::fuzz::Cost& cost = i % 4 == 0 ? fastin::fuzz::kLarge : fastin::fuzz::kSmall;
    fastin::fuzz::run_landscape(bytes.data(), bytes.size(), cost);
    fastin::fuzz::run_pattern(bytes.data(), bytes.size(), cost);
  }
  CHECK(count > 0);
  return fastin::test::report("hostile");
}
