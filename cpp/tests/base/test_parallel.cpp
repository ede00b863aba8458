#include <atomic>
#include <string>
#include <vector>

#include "check.hpp"
#include "fastin/base/error.hpp"
#include "fastin/base/parallel.hpp"

using namespace fastin;

namespace {

struct Wish {};

// The caller's wish to end goes before the items' errors, and the other threads stop at their next poll.
void test_interrupt(int threads) {
  const AskScope scope([] { throw Wish(); });
  detail::poll_state.due = {};
  bool ended = false;
  std::atomic<int> begun{0};
  try {
    parallel_for(100000, threads, [&](std::size_t i, int) {
      ++begun;
      if (i % 2 == 0) throw InvalidInput("even");
      poll_interrupt();
    });
  } catch (const Wish&) {
    ended = true;
  } catch (const InvalidInput&) {
  }
  CHECK(ended && begun < 100000);
}

}  // namespace

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
  for (const int threads : {1, 2, 7}) test_interrupt(threads);
  poll_interrupt();  // nobody asks any more
  SparsePoll sparse;
  for (int i = 0; i < 1000; ++i) sparse();
  return fastin::test::report("parallel");
}
