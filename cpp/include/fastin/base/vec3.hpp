// Vec3, Mat3, Int3: plain data and their arithmetic.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>

namespace fastin {

struct Vec3 {
  double x = 0.0, y = 0.0, z = 0.0;
  double& operator[](int i) { return i == 0 ? x : (i == 1 ? y : z); }
  double operator[](int i) const { return i == 0 ? x : (i == 1 ? y : z); }
};

inline Vec3 operator+(const Vec3& a, const Vec3& b) { return {a.x + b.x, a.y + b.y, a.z + b.z}; }
inline Vec3 operator-(const Vec3& a, const Vec3& b) { return {a.x - b.x, a.y - b.y, a.z - b.z}; }
inline Vec3 operator-(const Vec3& a) { return {-a.x, -a.y, -a.z}; }
inline Vec3 operator*(double s, const Vec3& a) { return {s * a.x, s * a.y, s * a.z}; }
inline Vec3 operator*(const Vec3& a, double s) { return s * a; }
inline Vec3& operator+=(Vec3& a, const Vec3& b) { return a = a + b; }
inline Vec3& operator-=(Vec3& a, const Vec3& b) { return a = a - b; }
inline double dot(const Vec3& a, const Vec3& b) { return a.x * b.x + a.y * b.y + a.z * b.z; }
inline double norm2(const Vec3& a) { return dot(a, a); }
inline double norm(const Vec3& a) { return std::sqrt(norm2(a)); }
inline Vec3 cross(const Vec3& a, const Vec3& b) {
  return {a.y * b.z - a.z * b.y, a.z * b.x - a.x * b.z, a.x * b.y - a.y * b.x};
}

// Integer triple: a lattice translation in units of the cell vectors.
struct Int3 {
  std::int32_t x = 0, y = 0, z = 0;
  std::int32_t& operator[](int i) { return i == 0 ? x : (i == 1 ? y : z); }
  std::int32_t operator[](int i) const { return i == 0 ? x : (i == 1 ? y : z); }
};

inline Int3 operator+(const Int3& a, const Int3& b) { return {a.x + b.x, a.y + b.y, a.z + b.z}; }
inline Int3 operator-(const Int3& a, const Int3& b) { return {a.x - b.x, a.y - b.y, a.z - b.z}; }
inline Int3 operator-(const Int3& a) { return {-a.x, -a.y, -a.z}; }
inline Int3 operator*(std::int32_t s, const Int3& a) { return {s * a.x, s * a.y, s * a.z}; }
inline bool operator==(const Int3& a, const Int3& b) { return a.x == b.x && a.y == b.y && a.z == b.z; }
inline bool operator!=(const Int3& a, const Int3& b) { return !(a == b); }
inline bool operator<(const Int3& a, const Int3& b) {
  return a.x != b.x ? a.x < b.x : (a.y != b.y ? a.y < b.y : a.z < b.z);
}
inline bool is_zero(const Int3& a) { return a.x == 0 && a.y == 0 && a.z == 0; }
inline Vec3 to_vec(const Int3& a) {
  return {static_cast<double>(a.x), static_cast<double>(a.y), static_cast<double>(a.z)};
}

// Row-major 3x3 matrix; rows[i] is row i.
struct Mat3 {
  std::array<Vec3, 3> rows{};
  Vec3& operator[](int i) { return rows[static_cast<std::size_t>(i)]; }
  const Vec3& operator[](int i) const { return rows[static_cast<std::size_t>(i)]; }
};

// Row vector times matrix: frac @ cell.
inline Vec3 row_times(const Vec3& v, const Mat3& m) { return v.x * m[0] + v.y * m[1] + v.z * m[2]; }
// Matrix times column vector.
inline Vec3 times_col(const Mat3& m, const Vec3& v) { return {dot(m[0], v), dot(m[1], v), dot(m[2], v)}; }
inline double determinant(const Mat3& m) { return dot(m[0], cross(m[1], m[2])); }

// Inverse; the caller has checked that the determinant is not zero.
inline Mat3 inverse(const Mat3& m) {
  const Vec3 c0 = cross(m[1], m[2]), c1 = cross(m[2], m[0]), c2 = cross(m[0], m[1]);
  const double s = 1.0 / dot(m[0], c0);
  return {{Vec3{s * c0.x, s * c1.x, s * c2.x}, Vec3{s * c0.y, s * c1.y, s * c2.y},
           Vec3{s * c0.z, s * c1.z, s * c2.z}}};
}

}  // namespace fastin
