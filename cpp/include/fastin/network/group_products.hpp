// GroupProducts: which operation of a space group two others make.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "fastin/base/interrupt.hpp"
#include "fastin/base/rounding.hpp"
#include "fastin/base/vec3.hpp"
#include "fastin/geometry/symmetry_orbits.hpp"

namespace fastin {

class GroupProducts {
 public:
  // k after a is operation `index` plus the lattice vector `shift`.
  struct Product {
    std::int32_t index;
    Int3 shift;
  };

  // The operations may still be filled in until the first product is asked for.
  explicit GroupProducts(const std::vector<SymmetryOperation>& operations) : operations_(operations) {}

  // Products of every operation with operation a, made at the first call; empty when the operations are no
  // group.
  const std::vector<Product>& with(std::size_t a) {
    if (rows_.empty()) file_operations();
    std::vector<Product>& row = rows_[a];
    if (!row.empty()) return row;
    const auto count = static_cast<std::int32_t>(distinct_.size());
    for (std::size_t k = 0; k < operations_.size(); ++k) {
      poll_interrupt();
      const std::int32_t rotation =
          rotation_product_[static_cast<std::size_t>(rotation_of_[k] * count + rotation_of_[a])];
      const Product found =
          rotation < 0 ? Product{-1, {}} : operation_at(rotation, operations_[k](operations_[a].translation));
      if (found.index < 0) {
        row.clear();
        return row;
      }
      row.push_back(found);
    }
    return row;
  }

 private:
  static constexpr double kSameTranslation = 1e-6;  // fractional

  // Rotations told apart, with a table of their products, and the operations filed under their rotation and
  // translation: a product is looked up, not searched for.
  void file_operations() {
    for (const SymmetryOperation& op : operations_) {
      std::size_t r = 0;
      while (r < distinct_.size() && distinct_[r] != op.rotation) ++r;
      if (r == distinct_.size()) distinct_.push_back(op.rotation);
      rotation_of_.push_back(static_cast<std::int32_t>(r));
    }
    const std::size_t n = distinct_.size();
    rotation_product_.assign(n * n, -1);
    for (std::size_t k = 0; k < n; ++k) {
      for (std::size_t a = 0; a < n; ++a) {
        std::array<Int3, 3> product;
        for (std::size_t i = 0; i < 3; ++i) {
          const Int3& r = distinct_[k][i];
          product[i] = r.x * distinct_[a][0] + r.y * distinct_[a][1] + r.z * distinct_[a][2];
        }
        const auto at = std::find(distinct_.begin(), distinct_.end(), product);
        if (at != distinct_.end())
          rotation_product_[k * n + a] = static_cast<std::int32_t>(at - distinct_.begin());
      }
    }
    filed_.reserve(operations_.size());
    for (std::size_t k = 0; k < operations_.size(); ++k) {
      filed_.push_back(
          {key_of(rotation_of_[k], operations_[k].translation, {}), static_cast<std::int32_t>(k)});
    }
    std::sort(filed_.begin(), filed_.end());
    rows_.resize(operations_.size());
  }

  // A translation modulo the lattice in steps of 2^-16, `side` steps aside, with its rotation.
  static std::uint64_t key_of(std::int32_t rotation, const Vec3& t, const Int3& side) {
    std::uint64_t key = static_cast<std::uint64_t>(rotation);
    for (int k = 0; k < 3; ++k) {
      const double f = t[k] - floor_int(t[k]);
      key =
          key << 16 | (static_cast<std::uint64_t>(static_cast<std::int64_t>(f * 65536.0) + side[k]) & 0xffff);
    }
    return key;
  }

  // The operation with this rotation and, up to a lattice vector, this translation.
  Product operation_at(std::int32_t rotation, const Vec3& t) const {
    Int3 low{}, high{};
    for (int k = 0; k < 3; ++k) {  // near the edge of a step it may be filed on either side
      const double steps = (t[k] - floor_int(t[k])) * 65536.0, part = steps - std::floor(steps);
      if (part < kSameTranslation * 65536.0) low[k] = -1;
      if (part > 1.0 - kSameTranslation * 65536.0) high[k] = 1;
    }
    for (Int3 side{low.x, 0, 0}; side.x <= high.x; ++side.x) {
      for (side.y = low.y; side.y <= high.y; ++side.y) {
        for (side.z = low.z; side.z <= high.z; ++side.z) {
          const std::uint64_t key = key_of(rotation, t, side);
          auto at = std::lower_bound(filed_.begin(), filed_.end(), std::pair(key, std::int32_t{0}));
          for (; at != filed_.end() && at->first == key; ++at) {
            const Vec3 d = t - operations_[static_cast<std::size_t>(at->second)].translation;
            const Int3 shift{nearest_int(d.x), nearest_int(d.y), nearest_int(d.z)};
            if (norm2(d - to_vec(shift)) < kSameTranslation * kSameTranslation) return {at->second, shift};
          }
        }
      }
    }
    return {-1, {}};
  }

  const std::vector<SymmetryOperation>& operations_;
  std::vector<std::vector<Product>> rows_;
  std::vector<std::array<Int3, 3>> distinct_;  // rotations
  std::vector<std::int32_t> rotation_of_, rotation_product_;
  std::vector<std::pair<std::uint64_t, std::int32_t>> filed_;  // key_of each operation, sorted
};

}  // namespace fastin
