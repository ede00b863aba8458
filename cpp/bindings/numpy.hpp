// numpy in and out: arrays are checked for dtype, order and shape; results are moved into a capsule, never
// copied.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "fastin/base/error.hpp"
#include "fastin/base/vec3.hpp"

namespace fastin::bind {

namespace py = pybind11;

// C-ordered array of exactly this dtype; declare the argument with .noconvert().
template <class T>
using In = py::array_t<T, py::array::c_style>;

// Throws InvalidInput unless the array has that shape; -1 accepts any length.
template <class T>
void check_shape(const In<T>& array, const char* name, std::initializer_list<py::ssize_t> shape) {
  bool ok = array.ndim() == static_cast<py::ssize_t>(shape.size());
  py::ssize_t k = 0;
  for (const py::ssize_t want : shape) {
    if (ok && want >= 0 && array.shape(k) != want) ok = false;
    ++k;
  }
  if (ok) return;
  std::string want = "(";
  for (const py::ssize_t n : shape) want += (n < 0 ? std::string("n") : std::to_string(n)) + ", ";
  std::string got = "(";
  for (py::ssize_t i = 0; i < array.ndim(); ++i) got += std::to_string(array.shape(i)) + ", ";
  throw InvalidInput(std::string(name) + " must have shape " + want + "), not " + got + ")");
}

inline Mat3 to_mat3(const In<double>& array, const char* name) {
  check_shape(array, name, {3, 3});
  const double* p = array.data();
  Mat3 m;
  for (int i = 0; i < 3; ++i) m[i] = Vec3{p[3 * i], p[3 * i + 1], p[3 * i + 2]};
  return m;
}

// (n, 3) float64 array -> vector of Vec3.
inline std::vector<Vec3> to_vec3s(const In<double>& array, const char* name) {
  check_shape(array, name, {-1, 3});
  const double* p = array.data();
  std::vector<Vec3> out(static_cast<std::size_t>(array.shape(0)));
  for (auto& v : out) {
    v = Vec3{p[0], p[1], p[2]};
    p += 3;
  }
  return out;
}

template <class T>
std::vector<T> to_vector(const In<T>& array, const char* name) {
  check_shape(array, name, {-1});
  return std::vector<T>(array.data(), array.data() + array.size());
}

inline void set_read_only(py::array* array) {
  py::detail::array_proxy(array->ptr())->flags &= ~py::detail::npy_api::NPY_ARRAY_WRITEABLE_;
}

// Read-only array that owns the moved vector. `shape` is in elements of Scalar: adopt<double>(vector<Vec3>,
// {n, 3}).
template <class Scalar, class Row, class Allocator>
py::array_t<Scalar> adopt(std::vector<Row, Allocator>&& rows, std::vector<py::ssize_t> shape) {
  static_assert(sizeof(Row) % sizeof(Scalar) == 0, "rows must be whole numbers of scalars");
  using Rows = std::vector<Row, Allocator>;
  auto owner = std::make_unique<Rows>(std::move(rows));
  const auto* data = reinterpret_cast<const Scalar*>(owner->data());
  py::capsule capsule(owner.get(), [](void* p) { delete static_cast<Rows*>(p); });
  owner.release();
  py::array_t<Scalar> out(std::move(shape), data, capsule);
  set_read_only(&out);
  return out;
}

template <class Scalar>
py::array_t<Scalar> adopt(std::vector<Scalar>&& values) {
  const auto n = static_cast<py::ssize_t>(values.size());
  return adopt<Scalar>(std::move(values), {n});
}

}  // namespace fastin::bind
