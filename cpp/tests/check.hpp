// The smallest test harness that reports file, line and values; no download needed.
#pragma once

#include <cmath>
#include <cstdio>

namespace fastin::test {
inline int failures = 0;
inline void check(bool ok, const char* what, const char* file, int line) {
  if (!ok) {
    ++failures;
    std::fprintf(stderr, "%s:%d: failed: %s\n", file, line, what);
  }
}
inline void check_near(double a, double b, double tolerance, const char* what, const char* file, int line) {
  if (!(std::abs(a - b) <= tolerance)) {
    ++failures;
    std::fprintf(stderr, "%s:%d: %s: %.17g and %.17g differ by more than %g\n", file, line, what, a, b,
                 tolerance);
  }
}
inline int report(const char* name) {
  std::printf("%s: %s\n", name, failures == 0 ? "ok" : "FAILED");
  return failures == 0 ? 0 : 1;
}
}  // namespace fastin::test

#define CHECK(condition) fastin::test::check((condition), #condition, __FILE__, __LINE__)
#define CHECK_NEAR(a, b, tolerance) \
  fastin::test::check_near((a), (b), (tolerance), #a " ~ " #b, __FILE__, __LINE__)
#define CHECK_THROWS(expression, type)                                             \
  do {                                                                             \
    bool caught = false;                                                           \
    try {                                                                          \
      (void)(expression);                                                          \
    } catch (const type&) {                                                        \
      caught = true;                                                               \
    }                                                                              \
    fastin::test::check(caught, #expression " throws " #type, __FILE__, __LINE__); \
  } while (false)
