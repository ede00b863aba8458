#include "fastin/network/percolation.hpp"

#include <algorithm>
#include <limits>
#include <vector>

#include "fastin/base/periodic_union_find.hpp"

namespace fastin {
namespace {

constexpr double kNone = -std::numeric_limits<double>::infinity();

// The edges by falling radius (of equal ones the lower number first), gathered and sorted as far as they are
// asked for, stretch by stretch: the widest decide.
class FallingRadius {
 public:
  explicit FallingRadius(const NetworkView& network) : network_(network) {
    const std::size_t step = std::max<std::size_t>(1, network.edges / kSampled);
    std::vector<double> sample;
    for (std::size_t e = 0; e < network.edges; e += step) sample.push_back(network.radius[e]);
    std::sort(sample.begin(), sample.end());
    if (network.edges <= kFewest) return;
    for (std::size_t k = 1; k < kStretches; ++k) bound_.push_back(sample[k * sample.size() / kStretches]);
  }
  std::size_t size() const { return network_.edges; }
  // Ask for 0, 1, 2 ...
  std::int32_t operator[](std::size_t k) {
    while (k >= begin_ + stretch_.size()) next_stretch();
    return stretch_[k - begin_].edge;
  }

 private:
  struct Edge {
    double radius;
    std::int32_t edge;
  };

  void next_stretch() {
    begin_ += stretch_.size();
    stretch_.clear();
    const bool last = bound_.empty();
    const double low = last ? kNone : bound_.back();
    if (!last) bound_.pop_back();
    for (std::size_t e = 0; e < network_.edges; ++e) {
      const double radius = network_.radius[e];
      if ((last || radius >= low) && (first_ || !(radius >= below_)))
        stretch_.push_back({radius, static_cast<std::int32_t>(e)});
    }
    first_ = false;
    below_ = low;
    std::sort(stretch_.begin(), stretch_.end(), [](const Edge& a, const Edge& b) {
      return a.radius != b.radius ? a.radius > b.radius : a.edge < b.edge;
    });
  }

  static constexpr std::size_t kFewest = 256, kSampled = 600, kStretches = 6;
  const NetworkView& network_;
  std::vector<double> bound_;  // lower bounds of the stretches to come, the last one's is none
  bool first_ = true;
  double below_ = 0.0;     // radii of the stretches before are not below this
  std::size_t begin_ = 0;  // edges of the stretches before
  std::vector<Edge> stretch_;
};

}  // namespace

FreeSpheres free_spheres(const NetworkView& network) {
  FreeSpheres out;
  out.axis.fill(kNone);
  out.rank.fill(kNone);
  out.included.fill(kNone);
  PeriodicUnionFind sets(network.sites);
  std::vector<double> largest(network.site_radius, network.site_radius + network.sites);
  std::array<std::int32_t, 3> pending{-1, -1,
                                      -1};  // edge that opened the axis, until all edges as wide have joined
  int open = 0, rank = 0;
  const auto settle = [&](double next_radius) {
    for (std::size_t k = 0; k < 3; ++k) {
      if (pending[k] < 0 || next_radius == out.axis[k]) continue;
      const std::int32_t root = sets.find(network.i[pending[k]]).root;
      out.included[k] = largest[static_cast<std::size_t>(root)];
      pending[k] = -1;
    }
  };
  FallingRadius order(network);
  for (std::size_t k = 0; k < order.size(); ++k) {
    const std::int32_t e = order[k];
    const double radius = network.radius[e];
    settle(radius);
    if (open == 3 && rank == 3) break;
    const auto joined = sets.join(network.i[e], network.j[e], network.image[e]);
    if (joined.absorbed >= 0) {
      double& top = largest[static_cast<std::size_t>(joined.root)];
      top = std::max(top, largest[static_cast<std::size_t>(joined.absorbed)]);
    }
    const int now = sets.rank(joined.root);
    if (now == 0) continue;
    for (; rank < now; ++rank) out.rank[static_cast<std::size_t>(rank)] = radius;
    for (int a = 0; a < 3; ++a) {
      const auto axis = static_cast<std::size_t>(a);
      if (out.axis[axis] != kNone || !sets.moves_along(joined.root, a)) continue;
      out.axis[axis] = radius;
      pending[axis] = e;
      ++open;
    }
  }
  settle(kNone);
  return out;
}

ChannelSet find_channels(const NetworkView& network, double probe_radius) {
  PeriodicUnionFind sets(network.sites);
  std::vector<std::int32_t> wide;
  for (std::size_t e = 0; e < network.edges; ++e) {
    const std::int32_t i = network.i[e], j = network.j[e];
    if (!(network.radius[e] > probe_radius && network.site_radius[i] > probe_radius &&
          network.site_radius[j] > probe_radius)) {
      continue;
    }
    wide.push_back(static_cast<std::int32_t>(e));
    sets.join(i, j, network.image[e]);
  }
  struct Channel {
    std::int32_t dimensionality, root;
  };
  std::vector<Channel> channels;
  std::vector<std::int32_t> label(network.sites, -1);
  for (std::size_t s = 0; s < network.sites; ++s) {
    const std::int32_t root = sets.find(static_cast<std::int32_t>(s)).root;
    const int rank = sets.rank(root);
    if (rank == 0 || label[static_cast<std::size_t>(root)] >= 0) continue;
    label[static_cast<std::size_t>(root)] = 0;
    channels.push_back({rank, root});
  }
  std::stable_sort(channels.begin(), channels.end(),
                   [](const Channel& a, const Channel& b) { return a.dimensionality > b.dimensionality; });
  for (std::size_t c = 0; c < channels.size(); ++c) {
    label[static_cast<std::size_t>(channels[c].root)] = static_cast<std::int32_t>(c);
  }
  std::vector<std::vector<std::int32_t>> site(channels.size()), edge(channels.size());
  for (std::size_t s = 0; s < network.sites; ++s) {
    const std::int32_t root = sets.find(static_cast<std::int32_t>(s)).root;
    if (sets.rank(root) > 0) {
      site[static_cast<std::size_t>(label[static_cast<std::size_t>(root)])].push_back(
          static_cast<std::int32_t>(s));
    }
  }
  for (const std::int32_t e : wide) {
    const std::int32_t root = sets.find(network.i[e]).root;
    if (sets.rank(root) > 0)
      edge[static_cast<std::size_t>(label[static_cast<std::size_t>(root)])].push_back(e);
  }
  ChannelSet out;
  out.site_start.push_back(0);
  out.edge_start.push_back(0);
  for (std::size_t c = 0; c < channels.size(); ++c) {
    out.dimensionality.push_back(channels[c].dimensionality);
    out.site.insert(out.site.end(), site[c].begin(), site[c].end());
    out.edge.insert(out.edge.end(), edge[c].begin(), edge[c].end());
    out.site_start.push_back(static_cast<std::int32_t>(out.site.size()));
    out.edge_start.push_back(static_cast<std::int32_t>(out.edge.size()));
  }
  return out;
}

}  // namespace fastin
