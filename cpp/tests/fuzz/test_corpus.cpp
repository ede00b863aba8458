// The minimised inputs of faults that the fuzzers or users once found: cpp/fuzz/corpus, one text file each
// with comments, the name of the body and the bytes as decimal numbers (docs/guide/fuzzing.md).
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "../../fuzz/bodies.hpp"
#include "check.hpp"

namespace {

struct Case {
  std::string body;
  std::vector<std::uint8_t> bytes;
};

Case read_case(const std::filesystem::path& path) {
  std::ifstream file(path);
  Case out;
  for (std::string line; std::getline(file, line);) {
    if (line.empty() || line[0] == '#') continue;
    if (out.body.empty()) {
      out.body = line;
      continue;
    }
    std::istringstream numbers(line);
    for (unsigned value; numbers >> value;) out.bytes.push_back(static_cast<std::uint8_t>(value));
  }
  return out;
}

}  // namespace

int main() {
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator(FASTIN_CORPUS))
    if (entry.path().extension() == ".txt") paths.push_back(entry.path());
  std::sort(paths.begin(), paths.end());
  CHECK(paths.size() >= 13);
  for (const auto& path : paths) {
    const Case c = read_case(path);
    std::fprintf(stderr, "%s\n", path.filename().c_str());  // the last name printed is the one that failed
    CHECK(!c.bytes.empty());
    if (c.body == "tessellation") {
      fastin::fuzz::run_tessellation(c.bytes.data(), c.bytes.size());
    } else if (c.body == "landscape" || c.body == "landscape-large") {
      const fastin::fuzz::Cost& cost = c.body == "landscape" ? fastin::fuzz::kSmall : fastin::fuzz::kLarge;
      const bool settled = fastin::fuzz::run_landscape(c.bytes.data(), c.bytes.size(), cost);
      if (path.filename().string().rfind("refinement-cut-short", 0) == 0) CHECK(!settled);
    } else if (c.body == "pattern") {
      fastin::fuzz::run_pattern(c.bytes.data(), c.bytes.size(), fastin::fuzz::kSmall);
    } else {
      CHECK(false);  // no such body
    }
  }
  return fastin::test::report("corpus");
}
