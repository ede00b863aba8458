// The only file that names omp.h: parallel_for and the serial fallback.
// FASTIN_USE_STD_THREADS swaps OpenMP for std::thread: ThreadSanitizer understands those, whereas it reports
// false races through an uninstrumented libgomp.
#pragma once

#include <cstddef>

#include "fastin/base/interrupt.hpp"

#if defined(FASTIN_USE_STD_THREADS)
#include <atomic>
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
// count; the caller's wish to end (interrupt.hpp) is asked for before every item and goes first. Bodies must
// write to slots owned by i (or by thread, merged afterwards in an order free of the schedule).
template <class Body>
void parallel_for(std::size_t n, int num_threads, Body&& body, std::size_t chunk = 1) {
#if defined(FASTIN_USE_STD_THREADS)
  if (num_threads > 1 && n > chunk) {
    Region region;
    std::atomic<std::size_t> next{0};
    const auto work = [&](int thread) {
      const Region::Watch watch(region);
      for (std::size_t begin = next.fetch_add(chunk); begin < n; begin = next.fetch_add(chunk)) {
        for (std::size_t i = begin; i < n && i < begin + chunk; ++i) region.run(i, thread, body);
      }
    };
    std::vector<std::thread> pool;
    for (int t = 1; t < num_threads; ++t) pool.emplace_back(work, t);
    work(0);
    for (auto& thread : pool) thread.join();
    region.rethrow();
    return;
  }
#elif defined(FASTIN_USE_OPENMP)
  if (num_threads > 1 && n > chunk) {
    Region region;
    const auto count = static_cast<std::ptrdiff_t>(n);
    const auto step = static_cast<std::ptrdiff_t>(chunk);
#pragma omp parallel num_threads(num_threads) default(shared)
    {
      const int thread = omp_get_thread_num();
      const Region::Watch watch(region);
#pragma omp for schedule(dynamic, step)
      for (std::ptrdiff_t i = 0; i < count; ++i) region.run(static_cast<std::size_t>(i), thread, body);
    }
    region.rethrow();
    return;
  }
#else
  (void)num_threads;
  (void)chunk;
#endif
  for (std::size_t i = 0; i < n; ++i) {
    poll_interrupt();
    body(i, 0);
  }
}

// Calls body(begin, end, thread) for the blocks of [0, n): parallel_for for items that take nanoseconds.
template <class Body>
void parallel_blocks(std::size_t n, int num_threads, std::size_t block, Body&& body) {
  parallel_for((n + block - 1) / block, num_threads, [&](std::size_t k, int thread) {
    body(k * block, n < (k + 1) * block ? n : (k + 1) * block, thread);
  });
}

}  // namespace fastin
