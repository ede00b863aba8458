// GeneratorCode: one periodic image of one atom in 64 bits, so that sets of generators sort, compare and
// shift as integers.
#pragma once

#include <cstdint>

#include "fastin/base/vec3.hpp"

namespace fastin {

// Bits 63..30 the atom, then three fields of 10 bits with the image's components plus kImageBias. Codes sort
// by atom, then by image (lexicographically); adding an ImageDelta moves a generator by a lattice vector.
using GeneratorCode = std::uint64_t;
using ImageDelta = std::int64_t;

constexpr int kImageBits = 10;
constexpr std::int32_t kImageBias = 1 << (kImageBits - 1);
// Images farther than this are refused where lists of neighbours are made, so that differences cannot
// overflow a field.
constexpr std::int32_t kMaxImage = 100;

constexpr ImageDelta image_delta(const Int3& s) {
  return (static_cast<ImageDelta>(s.x) * (1 << kImageBits) + s.y) * (1 << kImageBits) + s.z;
}

constexpr GeneratorCode kHomeImage =
    static_cast<GeneratorCode>(image_delta({kImageBias, kImageBias, kImageBias}));

constexpr GeneratorCode make_generator(std::int32_t atom, const Int3& image) {
  return (static_cast<GeneratorCode>(atom) << (3 * kImageBits)) + kHomeImage +
         static_cast<GeneratorCode>(image_delta(image));
}

constexpr std::int32_t generator_atom(GeneratorCode code) {
  return static_cast<std::int32_t>(code >> (3 * kImageBits));
}

constexpr ImageDelta generator_delta(GeneratorCode code) {
  return static_cast<ImageDelta>(code & ((GeneratorCode{1} << (3 * kImageBits)) - 1)) -
         static_cast<ImageDelta>(kHomeImage);
}

constexpr GeneratorCode shifted(GeneratorCode code, ImageDelta delta) {
  return code + static_cast<GeneratorCode>(delta);
}

constexpr Int3 generator_image(GeneratorCode code) {
  constexpr GeneratorCode mask = (1U << kImageBits) - 1;
  return {static_cast<std::int32_t>((code >> (2 * kImageBits)) & mask) - kImageBias,
          static_cast<std::int32_t>((code >> kImageBits) & mask) - kImageBias,
          static_cast<std::int32_t>(code & mask) - kImageBias};
}

constexpr Int3 delta_image(ImageDelta delta) {
  return generator_image(kHomeImage + static_cast<GeneratorCode>(delta));
}

}  // namespace fastin
