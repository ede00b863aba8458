// Exceptions of the core. Each maps to one Python class (cpp/bindings/module.cpp).
#pragma once

#include <stdexcept>
#include <string>

namespace fastin {

// Arguments that no computation could use; the message names the index and the value.
class InvalidInput : public std::invalid_argument {
 public:
  using std::invalid_argument::invalid_argument;
};

// Arguments that are well formed but geometrically impossible (zero volume, coincident atoms).
class DegenerateGeometry : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// An iteration that did not reach its tolerance, or an internal certificate that failed.
class NoConvergence : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Work that would take more time or memory than any answer is worth; the message names the number that makes
// it so.
class TooLarge : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace fastin
