#include <string>
#include <vector>

#include "check.hpp"
#include "fastin/base/error.hpp"
#include "fastin/base/parallel.hpp"

using namespace fastin;

int main() {
  for (const int threads : {1, 2, 7}) {
    std::vector<int> seen(1000, 0);
    parallel_for(seen.size(), threads, [&](std::size_t i, int thread) { seen[i] = thread >= 0 ? 1 : 0; }, 3);
    int total = 0;
    for (const int s : seen) total += s;
    CHECK(total == 1000);
    std::string message;
    try {
      parallel_for(500, threads, [](std::size_t i, int) {
        if (i % 7 == 3) throw InvalidInput("item " + std::to_string(i));
      });
    } catch (const InvalidInput& e) {
      message = e.what();
    }
    CHECK(message == "item 3");  // the lowest index, whatever the schedule
  }
  return fastin::test::report("parallel");
}
