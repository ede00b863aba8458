// Cells of voro++ itself, without Python, for bench/voro.py: reads crystals, prints CPU seconds and the
// summed volume.
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <vector>
#include <voro++/voro++.hh>

namespace {

double cpu() {
  std::timespec t{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

struct Round {
  double seconds, volume;
};

// One pass over all cells; with `full` also the neighbours and vertices of each.
Round pass(const double* c, const std::vector<double>& x, const std::vector<double>& r, bool full) {
  const double start = cpu();
  const auto n = static_cast<int>(r.size());
  const double scale = std::cbrt(n / (5.6 * c[0] * c[4] * c[8]));  // the block size that voro++ recommends
  voro::container_periodic_poly box(c[0], c[3], c[4], c[6], c[7], c[8], static_cast<int>(c[0] * scale + 1),
                                    static_cast<int>(c[4] * scale + 1), static_cast<int>(c[8] * scale + 1),
                                    8);
  for (int i = 0; i < n; ++i) {
    const double* f = &x[static_cast<std::size_t>(3 * i)];
    box.put(i, f[0] * c[0] + f[1] * c[3] + f[2] * c[6], f[1] * c[4] + f[2] * c[7], f[2] * c[8],
            r[static_cast<std::size_t>(i)]);
  }
  double volume = 0.0;
  voro::c_loop_all_periodic loop(box);
  if (full) {
    voro::voronoicell_neighbor cell;
    std::vector<int> neighbours;
    std::vector<double> vertices;
    if (loop.start()) do {
        if (!box.compute_cell(cell, loop)) continue;
        volume += cell.volume();
        cell.neighbors(neighbours);
        double px, py, pz;
        loop.pos(px, py, pz);
        cell.vertices(px, py, pz, vertices);
      } while (loop.inc());
  } else {
    voro::voronoicell cell;
    if (loop.start()) do {
        if (box.compute_cell(cell, loop)) volume += cell.volume();
      } while (loop.inc());
  }
  return {cpu() - start, volume / (c[0] * c[4] * c[8])};
}

}  // namespace

// FILE ROUNDS: n (int64), nine cell components, 3n fractions, n radii, all as doubles; a along x, b in xy.
int main(int argc, char** argv) {
  if (argc != 3) return 2;
  std::ifstream file(argv[1], std::ios::binary);
  std::int64_t n = 0;
  double cell[9];
  file.read(reinterpret_cast<char*>(&n), sizeof n);
  file.read(reinterpret_cast<char*>(cell), sizeof cell);
  std::vector<double> frac(static_cast<std::size_t>(3 * n)), radius(static_cast<std::size_t>(n));
  file.read(reinterpret_cast<char*>(frac.data()), 24 * n);
  file.read(reinterpret_cast<char*>(radius.data()), 8 * n);
  for (int k = 0; k < std::atoi(argv[2]); ++k) {
    const Round cells = pass(cell, frac, radius, false), full = pass(cell, frac, radius, true);
    std::printf("%.9f %.9f %.15f\n", cells.seconds, full.seconds, cells.volume);
  }
}
