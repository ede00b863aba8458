// The loops that make a list of half-spaces out of the slots of a cell list.
#pragma once

#include <cstddef>
#include <cstdint>

#include "fastin/base/vec3.hpp"
#include "fastin/geometry/generator.hpp"

namespace fastin {

// Positions, weights and codes of the slots of a cell list.
struct SlotView {
  const double *x, *y, *z, *weight;
  const GeneratorCode* code;
};

// Planes are sorted by their distance from the atom into so many buckets.
constexpr std::int32_t kPlaneBuckets = 24;

// Slots begin .. end whose point lies within `reach` of the centre, in order; `slots` has room for all.
// Returns how many there are.
std::size_t slots_within(const SlotView& from, const Vec3& centre, double reach2, std::size_t begin,
                         std::size_t end, std::uint32_t* slots);

// The next two take whole blocks of so many slots.
constexpr std::size_t kPlaneLanes = 8;

// The bucket of the plane of each slot: its distance times `scale`, cut to the buckets; kPlaneBuckets for
// those farther than `covers` and for the atom itself.
void bucket_planes(const SlotView& from, const std::uint32_t* slots, std::size_t blocks, const Vec3& centre,
                   double weight, double covers, double scale, std::int32_t* __restrict bucket);

// The planes of these slots, seen from the centre: d . x = h.
void make_planes(const SlotView& from, const std::uint32_t* slots, std::size_t blocks, const Vec3& centre,
                 double weight, double* __restrict dx, double* __restrict dy, double* __restrict dz,
                 double* __restrict h, GeneratorCode* __restrict code);

}  // namespace fastin
