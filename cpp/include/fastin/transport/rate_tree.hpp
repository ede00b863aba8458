// Rates with their exact partial sums: draws an entry with probability proportional to its rate.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace fastin {

// An eight-way tree of sums. A changed entry renews its ancestors from their children (never by adding a
// difference), so that small rates keep their digits beside rates many orders of magnitude larger. Each line
// of eight sums is one cache line.
class RateTree {
 public:
  explicit RateTree(std::size_t entries);

  // Sets an entry; its ancestors are stale until `renew`.
  void set(std::size_t entry, double rate);
  double get(std::size_t entry) const { return levels_[0][entry]; }
  // Brings all sums up to date.
  void renew();
  double total() const { return total_; }

  // The entry in which the point x of [0, total) falls; `rest` is how far into its rate. Entries of rate zero
  // are never returned as long as the total is positive.
  std::size_t find(double x, double* rest) const;

 private:
  static constexpr std::size_t kWidth = 8;

  std::vector<std::vector<double>> levels_;       // [0] the entries, each next one the sums of eight
  std::vector<std::vector<std::uint8_t>> stale_;  // marks of the levels from 1 on
  std::vector<std::vector<std::size_t>> queue_;
  double total_ = 0.0;
};

}  // namespace fastin
