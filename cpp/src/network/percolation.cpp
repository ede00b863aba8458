#include "fastin/network/percolation.hpp"

#include <algorithm>
#include <limits>
#include <numeric>

#include "fastin/base/periodic_union_find.hpp"

namespace fastin {
namespace {

constexpr double kNone = -std::numeric_limits<double>::infinity();

// The edges by falling radius, sorted as far as they are asked for: the widest decide.
class FallingRadius {
 public:
  explicit FallingRadius(const NetworkView& network) : radius_(network.radius), order_(network.edges) {
    std::iota(order_.begin(), order_.end(), 0);
  }
  std::size_t size() const { return order_.size(); }
  std::int32_t operator[](std::size_t k) {
    if (k >= sorted_) sort_more();
    return order_[k];
  }

 private:
  void sort_more() {
    const auto wider = [this](std::int32_t a, std::int32_t b) {
      return radius_[a] != radius_[b] ? radius_[a] > radius_[b] : a < b;
    };
    const std::size_t end = std::min(order_.size(), sorted_ + std::max(kFewest, order_.size() / kStretches));
    const auto from = order_.begin() + static_cast<std::ptrdiff_t>(sorted_);
    const auto to = order_.begin() + static_cast<std::ptrdiff_t>(end);
    if (to != order_.end()) std::nth_element(from, to, order_.end(), wider);
    std::sort(from, to, wider);
    sorted_ = end;
  }

  static constexpr std::size_t kFewest = 256, kStretches = 6;
  const double* radius_;
  std::vector<std::int32_t> order_;
  std::size_t sorted_ = 0;
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
