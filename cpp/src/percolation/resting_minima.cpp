#include "resting_minima.hpp"

#include <algorithm>
#include <cmath>

namespace fastin::refining {

RestingMinima::Minimum& RestingMinima::at(const Vec3& frac, Int3* cell) {
  for (Minimum& minimum : minima_) {
    const Vec3 apart = frac - minimum.frac;
    for (int k = 0; k < 3; ++k) (*cell)[k] = static_cast<std::int32_t>(std::nearbyint(apart[k]));
    if (polisher_.same_point(frac - to_vec(*cell), minimum.frac)) return minimum;
  }
  *cell = Int3{};
  minima_.push_back({frac, {}});
  return minima_.back();
}

void RestingMinima::arrive(const Hop& hop, std::vector<Slope>* joined) {
  for (std::size_t side = 0; side < 2; ++side) {
    const Hop::Ridge& ridge = hop.beyond[side];
    if (ridge.energy <= hop.energy) continue;
    Hop::Ridge way{hop.energy, hop.saddle, hop.stationary};
    if (hop.beyond[1 - side].energy > way.energy) way = hop.beyond[1 - side];  // the other end rests as well
    Int3 cell, corner_cell;
    Minimum& minimum = at(hop.ends[side], &cell);
    std::int32_t voxel;
    const Vec3 end = hop.ends[1 - side] - to_vec(cell);
    polisher_.lowest_corner(end, &voxel, &corner_cell);
    const Arrival here{polisher_.label_at(end),
                       polisher_.point(voxel) + to_vec(corner_cell),
                       end,
                       {way.energy, way.saddle - to_vec(cell), way.stationary}};
    for (const Arrival& other : minimum.arrivals) {
      const bool same = other.label.basin == here.label.basin && other.label.cell == here.label.cell;
      const Hop::Ridge& high = other.saddle.energy > here.saddle.energy ? other.saddle : here.saddle;
      if (same || high.energy >= ridge.energy) continue;
      joined->push_back(
          {high.energy,
           {here.label.basin, other.label.basin, other.label.cell - here.label.cell},
           {here.corner, here.end, here.saddle.saddle, minimum.frac, other.saddle.saddle, other.end},
           high.saddle,
           high.stationary});
    }
    minimum.arrivals.push_back(here);
  }
}

}  // namespace fastin::refining
