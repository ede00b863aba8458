// Computing without the GIL while Python's signals are still answered.
#pragma once

#include <pybind11/pybind11.h>

#include "fastin/base/interrupt.hpp"

namespace fastin::bind {

// What the core asks every 100 ms: runs the pending signal handlers, and throws what they raise (Ctrl-C: a
// KeyboardInterrupt). In threads other than Python's main one it finds nothing to do.
inline void check_signals() {
  const pybind11::gil_scoped_acquire gil;
  if (PyErr_CheckSignals() != 0) throw pybind11::error_already_set();
}

// Releases the GIL for a computation that can be interrupted.
class Computing {
 public:
  Computing() : ask_(&check_signals) {}

 private:
  pybind11::gil_scoped_release release_;
  AskScope ask_;  // ends before the GIL comes back
};

}  // namespace fastin::bind
