// CPU time inside and outside the parallel regions of a process: preloaded, it stands in front of OpenMP's entry
// point. bench_threads.py builds it: what follows from these shares does not depend on how busy the machine is.
#include <dlfcn.h>
#include <link.h>

#include <cstring>
#include <ctime>

namespace {

using Entry = void (*)(void (*)(void*), void*, unsigned, unsigned);

double cpu(clockid_t clock) {
  timespec t;
  clock_gettime(clock, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}
double inside = 0.0;  // of the caller's thread

// The runtime that was loaded first is the one that answers (fastin.runtime.openmp).
Entry runtime() {
  const char* path = nullptr;
  dl_iterate_phdr(
      [](dl_phdr_info* info, std::size_t, void* found) {
        if (std::strstr(info->dlpi_name, "libgomp") == nullptr) return 0;
        *static_cast<const char**>(found) = info->dlpi_name;
        return 1;
      },
      &path);
  return reinterpret_cast<Entry>(dlsym(dlopen(path, RTLD_LAZY | RTLD_NOLOAD), "GOMP_parallel"));
}

}  // namespace

extern "C" {

// CPU seconds so far: of the caller's thread outside regions, and of all threads inside them.
__attribute__((visibility("default"))) void region_seconds(double* out) {
  out[0] = cpu(CLOCK_THREAD_CPUTIME_ID) - inside;
  out[1] = cpu(CLOCK_PROCESS_CPUTIME_ID) - out[0];
}

__attribute__((visibility("default"))) void GOMP_parallel(void (*body)(void*), void* data, unsigned threads,
                                                          unsigned flags) {
  static const Entry entry = runtime();
  const double before = cpu(CLOCK_THREAD_CPUTIME_ID);
  entry(body, data, threads, flags);
  inside += cpu(CLOCK_THREAD_CPUTIME_ID) - before;
}
}
