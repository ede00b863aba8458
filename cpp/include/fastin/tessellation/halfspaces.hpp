// HalfspaceLists: for each atom the half-spaces that bound its power cell, nearest planes first, and the ray
// through them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "fastin/base/vec3.hpp"
#include "fastin/geometry/cell_list.hpp"
#include "fastin/geometry/generator.hpp"
#include "fastin/geometry/lattice.hpp"

namespace fastin {

// Relative to atom i the image m lies at d, and the plane of equal power is d . x = h with
// h = (|d|^2 + w_i - w_m) / 2 (F. Aurenhammer, SIAM J. Comput. 16, 78 (1987)); w = radius squared (plus a
// perturbation).
struct HalfspaceView {
  const double* dx;
  const double* dy;
  const double* dz;
  const double* h;
  const GeneratorCode* code;  // m as seen from atom i in its home cell
  const double* tail;  // for each block of kLanes: no plane from here on is nearer to the atom than this
  std::size_t blocks;
  double covers;  // every plane nearer than this is in the list
};

struct RayHit {
  double t;            // infinity without a hit
  GeneratorCode code;  // the generator that is hit, 0 without one
};

// First plane met by the ray origin + t * direction inside the cell (the smallest t of all planes that face
// the ray, which may be negative), leaving out two generators that the ray is parallel to.
RayHit shoot_ray(const HalfspaceView& list, const Vec3& origin, const Vec3& direction, GeneratorCode skip_a,
                 GeneratorCode skip_b);

struct SlotView;

class HalfspaceLists {
 public:
  static constexpr std::size_t kLanes = 8;

  // `lattice` reduced, `frac` in [0, 1). Throws DegenerateGeometry when two atoms are nearer than
  // kMinDistance. With `keep` the lists of all atoms stay, else only the one made last. `names`: numbers of
  // the atoms for messages, empty for their own.
  HalfspaceLists(const Lattice& lattice, std::vector<Vec3> frac, std::vector<double> weight, bool keep = true,
                 std::vector<std::int32_t> names = {}, int num_threads = 1);

  // Lists of the same atoms for another thread; the atoms and their neighbour search are shared.
  HalfspaceLists another() const { return HalfspaceLists(atoms_, stock_, keep_); }

  const Vec3& position(std::int32_t atom) const { return cart_[static_cast<std::size_t>(atom)]; }
  double weight(std::int32_t atom) const { return weight_[static_cast<std::size_t>(atom)]; }
  const Lattice& lattice() const { return atoms_->lattice; }
  bool has_list(std::int32_t atom) const {
    return keep_ ? lists_[static_cast<std::size_t>(atom)].blocks != 0 : last_ == atom;
  }

  // The list of an atom, made at the first call.
  HalfspaceView view(std::int32_t atom);
  // Makes the atom's list again, complete for planes up to `covers` at least.
  void extend(std::int32_t atom, double covers);
  // The first ray hit that no plane outside the list could precede; extends the list as needed.
  RayHit shoot(std::int32_t atom, const Vec3& origin, const Vec3& direction, GeneratorCode skip_a,
               GeneratorCode skip_b);

 private:
  struct List {
    std::size_t begin = 0;
    std::size_t tail = 0;
    std::size_t blocks = 0;
    double covers = 0.0;
  };
  struct Atoms {
    Lattice lattice;
    std::vector<Vec3> frac;
    Scratch<Vec3> cart;
    std::vector<double> weight;
    std::vector<std::int32_t> names;
    double max_weight, default_reach;
  };

  // The atoms and their images that lists of some reach are made from.
  struct Images {
    Images(const Atoms& atoms, double reach);
    SlotView view() const;
    CellList cells;
    Scratch<double> weight;  // of each slot of the cells
  };
  // What the lists of all threads share: those of the farthest reach asked for.
  struct Stock {
    std::mutex lock;
    std::shared_ptr<const Images> farthest;
  };

  HalfspaceLists(std::shared_ptr<const Atoms> atoms, std::shared_ptr<Stock> stock, bool keep);
  std::shared_ptr<const Images> images_for(double reach) const;
  static std::shared_ptr<const Atoms> gather(const Lattice& lattice, std::vector<Vec3> frac,
                                             std::vector<double> weight, std::vector<std::int32_t> names);
  void check_overlaps(int num_threads) const;
  void build(std::int32_t atom, double reach);
  List& list_of(std::int32_t atom) { return lists_[keep_ ? static_cast<std::size_t>(atom) : 0]; }
  std::int32_t name(std::int32_t atom) const {
    return atoms_->names.empty() ? atom : atoms_->names[static_cast<std::size_t>(atom)];
  }
  std::size_t find_near(std::int32_t atom, double reach);
  std::size_t arrange(std::int32_t atom, std::size_t near, double covers, List* list);
  void fill(std::int32_t atom, std::size_t planes, const List& list);

  std::shared_ptr<const Atoms> atoms_;
  std::shared_ptr<Stock> stock_;
  std::shared_ptr<const Images> images_;
  const Vec3* cart_;  // of atoms_
  const double* weight_;
  bool keep_;
  std::int32_t last_ = -1;  // atom whose list was made last
  Scratch<List> lists_;     // of all atoms, or of the last one
  Scratch<double> dx_, dy_, dz_, h_, tail_;
  Scratch<GeneratorCode> code_;
  std::vector<std::uint32_t> near_, sorted_;  // slots: those within reach, those of the planes by distance
  std::vector<std::int32_t> bucket_;          // of those within reach
};

}  // namespace fastin
