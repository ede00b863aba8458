#include "bodies.hpp"

// libFuzzer's entry (docs/guide/fuzzing.md).
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fastin::fuzz::run_pattern(data, size, fastin::fuzz::kSmall);
  return 0;
}
