// The only file that names omp.h: parallel_for and the serial fallback.
#pragma once

#include <cstddef>
#include <exception>
#include <limits>

#ifdef FASTIN_USE_OPENMP
#include <omp.h>
#endif

namespace fastin {

inline int max_threads() {
#ifdef FASTIN_USE_OPENMP
  return omp_get_max_threads();
#else
  return 1;
#endif
}

// Calls body(i, thread) for i in [0, n), in chunks handed out dynamically. An exception leaves no OpenMP region:
// the one of the lowest index is kept and rethrown, so the message does not depend on the thread count.
// Bodies must write to slots owned by i (or by thread, merged afterwards in an order free of the schedule).
template <class Body>
void parallel_for(std::size_t n, int num_threads, Body&& body, std::size_t chunk = 1) {
#ifdef FASTIN_USE_OPENMP
  if (num_threads > 1 && n > chunk) {
    std::exception_ptr error;
    std::size_t error_index = std::numeric_limits<std::size_t>::max();
    const auto count = static_cast<std::ptrdiff_t>(n);
    const auto step = static_cast<std::ptrdiff_t>(chunk);
#pragma omp parallel num_threads(num_threads) default(shared)
    {
      const int thread = omp_get_thread_num();
#pragma omp for schedule(dynamic, step)
      for (std::ptrdiff_t i = 0; i < count; ++i) {
        try {
          body(static_cast<std::size_t>(i), thread);
        } catch (...) {
#pragma omp critical(fastin_parallel_for_error)
          {
            if (static_cast<std::size_t>(i) < error_index) {
              error_index = static_cast<std::size_t>(i);
              error = std::current_exception();
            }
          }
        }
      }
    }
    if (error) std::rethrow_exception(error);
    return;
  }
#else
  (void)num_threads;
  (void)chunk;
#endif
  for (std::size_t i = 0; i < n; ++i) body(i, 0);
}

}  // namespace fastin
