// The only file that names omp.h: parallel_for and the serial fallback.
// FASTIN_USE_STD_THREADS swaps OpenMP for std::thread: ThreadSanitizer understands those, whereas it reports
// false races through an uninstrumented libgomp.
#pragma once

#include <cstddef>
#include <exception>
#include <limits>

#if defined(FASTIN_USE_STD_THREADS)
#include <atomic>
#include <mutex>
#include <thread>
#include <vector>
#elif defined(FASTIN_USE_OPENMP)
#include <omp.h>
#endif

namespace fastin {

inline int max_threads() {
#if defined(FASTIN_USE_STD_THREADS)
  return static_cast<int>(std::thread::hardware_concurrency());
#elif defined(FASTIN_USE_OPENMP)
  return omp_get_max_threads();
#else
  return 1;
#endif
}

// Calls body(i, thread) for i in [0, n), in chunks handed out dynamically. An exception leaves no OpenMP
// region: the one of the lowest index is kept and rethrown, so the message does not depend on the thread
// count. Bodies must write to slots owned by i (or by thread, merged afterwards in an order free of the
// schedule).
template <class Body>
void parallel_for(std::size_t n, int num_threads, Body&& body, std::size_t chunk = 1) {
#if defined(FASTIN_USE_STD_THREADS)
  if (num_threads > 1 && n > chunk) {
    std::exception_ptr error;
    std::size_t error_index = std::numeric_limits<std::size_t>::max();
    std::mutex error_mutex;
    std::atomic<std::size_t> next{0};
    const auto work = [&](int thread) {
      for (std::size_t begin = next.fetch_add(chunk); begin < n; begin = next.fetch_add(chunk)) {
        for (std::size_t i = begin; i < n && i < begin + chunk; ++i) {
          try {
            body(i, thread);
          } catch (...) {
            const std::lock_guard<std::mutex> lock(error_mutex);
            if (i < error_index) {
              error_index = i;
              error = std::current_exception();
            }
          }
        }
      }
    };
    std::vector<std::thread> pool;
    for (int t = 1; t < num_threads; ++t) pool.emplace_back(work, t);
    work(0);
    for (auto& thread : pool) thread.join();
    if (error) std::rethrow_exception(error);
    return;
  }
#elif defined(FASTIN_USE_OPENMP)
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
