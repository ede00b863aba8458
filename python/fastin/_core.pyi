"""
C++ core of fastin: arrays in, arrays out; use the functions of the fastin package instead.
"""
from __future__ import annotations
import collections.abc
import numpy
import numpy.typing
import typing
__all__: list[str] = ['BvseField', 'BvseSplit', 'GcnGraphs', 'GcnPooled', 'anneal', 'bond_valence_sums', 'bottleneck_walks', 'certify_tessellation', 'channels', 'clearance_at', 'coordination_numbers', 'critical_elements', 'exact_free_spheres', 'face_centres', 'free_spheres', 'gcn_block', 'gcn_block_backward', 'gcn_input_sums', 'gcn_lanes', 'gcn_pool', 'gcn_pool_backward', 'has_openmp', 'landscape_network', 'lattice_gas', 'leaf_sums', 'level_shares', 'max_threads', 'nearest_atoms', 'nearest_kinds', 'neighbours', 'network', 'percolate_grid', 'point_orbits', 'pure_translations', 'refine_percolation', 'saddle_paths', 'simd_level', 'site_symmetry', 'space_operations', 'spread', 'tessellate', 'transport_network', 'void_walks', 'xrd_patterns', 'xrd_peaks']
class BvseField:
    """
    Bond valence site energy of one mobile ion in a periodic framework (see fastin.bvse.grid).
    """
    max_energy: typing.ClassVar[float] = 1000.0
    def __init__(self, cell: numpy.typing.NDArray[numpy.float64], frac: numpy.typing.NDArray[numpy.float64], term: numpy.typing.NDArray[numpy.int32], weight: numpy.typing.NDArray[numpy.float64], coulomb: numpy.typing.NDArray[numpy.bool], amplitude: numpy.typing.NDArray[numpy.float64], length: numpy.typing.NDArray[numpy.float64], alpha: numpy.typing.NDArray[numpy.float64], cutoff: typing.SupportsFloat | typing.SupportsIndex) -> None:
        ...
    def derivatives(self, frac: numpy.typing.NDArray[numpy.float64], num_threads: typing.SupportsInt | typing.SupportsIndex = 1) -> tuple[typing.Any, ...]:
        """
        Energies (n,) in eV without the cap, Cartesian gradients (n, 3) in eV/A and Hessians (n, 3, 3) in eV/A^2.
        """
    def energy(self, frac: numpy.typing.NDArray[numpy.float64], num_threads: typing.SupportsInt | typing.SupportsIndex = 1) -> numpy.typing.NDArray[numpy.float64]:
        """
        (n,) energies in eV at (n, 3) fractional points, capped at `max_energy`.
        """
    def grid(self, shape: typing.Annotated[collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex], "FixedSize(3)"], rotations: numpy.typing.NDArray[numpy.int32], shifts: numpy.typing.NDArray[numpy.int32], num_threads: typing.SupportsInt | typing.SupportsIndex = 1) -> numpy.typing.NDArray[numpy.float32]:
        """
        float32 energies on a periodic grid; operations act on grid indices as i' = rotation @ i + shift.
        """
    def term_cutoff(self, k: typing.SupportsInt | typing.SupportsIndex) -> float:
        ...
    @property
    def cutoff(self) -> float:
        ...
    @property
    def image_count(self) -> int:
        ...
    @property
    def near_share(self) -> float:
        """
        Pairs of a BvseSplit's near sum over those of the plain sum.
        """
    @property
    def tail_energy(self) -> float:
        ...
class BvseSplit:
    """
    A BvseField summed up to 4.5 A, the rest a spline on a grid of that shape, which the operations map onto itself.
    """
    error_bound: typing.ClassVar[float] = 0.0002
    spacing: typing.ClassVar[float] = 0.55
    def __init__(self, field: BvseField, shape: typing.Annotated[collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex], "FixedSize(3)"], rotations: numpy.typing.NDArray[numpy.int32], shifts: numpy.typing.NDArray[numpy.int32], num_threads: typing.SupportsInt | typing.SupportsIndex = 1) -> None:
        ...
    def derivatives(self, frac: numpy.typing.NDArray[numpy.float64], num_threads: typing.SupportsInt | typing.SupportsIndex = 1) -> tuple[typing.Any, ...]:
        """
        As of a BvseField.
        """
    def grid(self, shape: typing.Annotated[collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex], "FixedSize(3)"], rotations: numpy.typing.NDArray[numpy.int32], shifts: numpy.typing.NDArray[numpy.int32], num_threads: typing.SupportsInt | typing.SupportsIndex = 1) -> numpy.typing.NDArray[numpy.float32]:
        """
        As of a BvseField.
        """
class GcnGraphs:
    """
    Several graphs in one, with their edges sorted by target.
    """
    def __init__(self, first: numpy.typing.NDArray[numpy.int32], source: numpy.typing.NDArray[numpy.int64], target: numpy.typing.NDArray[numpy.int64]) -> None:
        """
        First node of each graph and one more; the m directed edges.
        """
    def __len__(self) -> int:
        ...
    def pooled_nodes(self, ratio: typing.SupportsFloat | typing.SupportsIndex) -> int:
        """
        Nodes of all graphs when so many of each are kept.
        """
class GcnPooled:
    """
    Which nodes a pooling keeps, and the graphs of these.
    """
    @property
    def gate(self) -> numpy.typing.NDArray[numpy.float32]:
        ...
    @property
    def graphs(self) -> GcnGraphs:
        ...
    @property
    def kept(self) -> numpy.typing.NDArray[numpy.int32]:
        ...
def anneal(coulomb: numpy.typing.NDArray[numpy.float64], potential: numpy.typing.NDArray[numpy.float64], charge: numpy.typing.NDArray[numpy.float64], pool: numpy.typing.NDArray[numpy.int32], species: numpy.typing.NDArray[numpy.int32], exclusion_start: numpy.typing.NDArray[numpy.int64], exclusion: numpy.typing.NDArray[numpy.int32], replicas: typing.SupportsInt | typing.SupportsIndex, steps: typing.SupportsInt | typing.SupportsIndex, hot: typing.SupportsFloat | typing.SupportsIndex, cold: typing.SupportsFloat | typing.SupportsIndex, penalty: typing.SupportsFloat | typing.SupportsIndex, keep: typing.SupportsInt | typing.SupportsIndex, seed: typing.SupportsInt | typing.SupportsIndex, num_threads: typing.SupportsInt | typing.SupportsIndex = 1) -> tuple[typing.Any, ...]:
    """
    Simulated annealing of charges on positions: energies, arrangements (n, P), fewest violated exclusions.
    """
def bond_valence_sums(cell: numpy.typing.NDArray[numpy.float64], frac: numpy.typing.NDArray[numpy.float64], kind: numpy.typing.NDArray[numpy.int32], occupancy: numpy.typing.NDArray[numpy.float64], pair_kinds: numpy.typing.NDArray[numpy.int32], pair_values: numpy.typing.NDArray[numpy.float64], *, too_near: typing.SupportsFloat | typing.SupportsIndex) -> tuple[typing.Any, ...]:
    """
    Bond valence sum of each site, and neighbours counted for each pair: pair_kinds (p, 2) cation and anion, pair_values (p, 4) r0, b, cutoff (angstrom) and weight.
    """
def bottleneck_walks(field: BvseField, frac: numpy.typing.NDArray[numpy.float64], direction: numpy.typing.NDArray[numpy.float64], num_threads: typing.SupportsInt | typing.SupportsIndex = 1) -> numpy.typing.NDArray[numpy.float64]:
    """
    (n, 3) eV at fractional points, lowest in the plane across the Cartesian direction, and after steps from there to the saddle along it.
    """
def certify_tessellation(cell: numpy.typing.NDArray[numpy.float64], frac: numpy.typing.NDArray[numpy.float64], radius: numpy.typing.NDArray[numpy.float64], *, merge_tolerance: typing.SupportsFloat | typing.SupportsIndex = 1e-05) -> dict[str, typing.Any]:
    """
    Certificates of the power diagram of spheres: volumes, Euler characteristic, powers at the vertices.
    """
def channels(site_radius: numpy.typing.NDArray[numpy.float64], edge_index: numpy.typing.NDArray[numpy.int64], edge_image: numpy.typing.NDArray[numpy.int32], edge_radius: numpy.typing.NDArray[numpy.float64], probe_radius: typing.SupportsFloat | typing.SupportsIndex) -> tuple[typing.Any, ...]:
    """
    Percolating components of a network for a probe.
    """
def clearance_at(cell: numpy.typing.NDArray[numpy.float64], frac: numpy.typing.NDArray[numpy.float64], radius: numpy.typing.NDArray[numpy.float64], points: numpy.typing.NDArray[numpy.float64], num_threads: typing.SupportsInt | typing.SupportsIndex) -> numpy.typing.NDArray[numpy.float64]:
    ...
def coordination_numbers(offsets: numpy.typing.NDArray[numpy.int64], index: numpy.typing.NDArray[numpy.int64], distance: numpy.typing.NDArray[numpy.float64], sign: numpy.typing.NDArray[numpy.float64], size: numpy.typing.NDArray[numpy.float64], occupancy: numpy.typing.NDArray[numpy.float64], reach: typing.SupportsFloat | typing.SupportsIndex, too_near: typing.SupportsFloat | typing.SupportsIndex) -> numpy.typing.NDArray[numpy.float64]:
    """
    Coordination number of each point: counter-ions within `reach` of the shortest relative bond length.
    """
def critical_elements(site_ptr: numpy.typing.NDArray[numpy.int64], edge_ptr: numpy.typing.NDArray[numpy.int64], ends: numpy.typing.NDArray[numpy.int32], image: numpy.typing.NDArray[numpy.int32], site_energy: numpy.typing.NDArray[numpy.float32], edge_energy: numpy.typing.NDArray[numpy.float32], num_threads: typing.SupportsInt | typing.SupportsIndex) -> tuple[typing.Any, ...]:
    """
    Per graph and dimension, the element that sets the percolation level (edge e as e, site s as -1 - s) and the lowest site of the percolating component; INT64_MAX where there is none.
    """
def exact_free_spheres(cell: numpy.typing.NDArray[numpy.float64], frac: numpy.typing.NDArray[numpy.float64], radius: numpy.typing.NDArray[numpy.float64], num_threads: typing.SupportsInt | typing.SupportsIndex) -> dict[str, typing.Any]:
    ...
def face_centres(cell: numpy.typing.NDArray[numpy.float64], frac: numpy.typing.NDArray[numpy.float64], radius: numpy.typing.NDArray[numpy.float64]) -> numpy.typing.NDArray[numpy.float64]:
    """
    Centres of the faces of the power diagram of spheres, (n, 3) fractional in [0, 1).
    """
def free_spheres(site_radius: numpy.typing.NDArray[numpy.float64], edge_index: numpy.typing.NDArray[numpy.int64], edge_image: numpy.typing.NDArray[numpy.int32], edge_radius: numpy.typing.NDArray[numpy.float64]) -> dict[str, typing.Any]:
    """
    Widest periodic paths of a network along each axis and in 1, 2, 3 dimensions.
    """
def gcn_block(graphs: GcnGraphs, rows: numpy.typing.NDArray[numpy.float32], matrix: numpy.typing.NDArray[numpy.float32], bias: numpy.typing.NDArray[numpy.float32], weight: numpy.typing.NDArray[numpy.float32], ratio: typing.SupportsFloat | typing.SupportsIndex, y: numpy.typing.NDArray[numpy.float32], readout: numpy.typing.NDArray[numpy.float32], sums: numpy.typing.NDArray[numpy.float32] | None, num_threads: typing.SupportsInt | typing.SupportsIndex) -> GcnPooled:
    """
    gcn_pool of y = rows matrix, which is written; columns of rows beyond the matrix do not count.
    """
def gcn_block_backward(graphs: GcnGraphs, rows: numpy.typing.NDArray[numpy.float32], matrix: numpy.typing.NDArray[numpy.float32], y: numpy.typing.NDArray[numpy.float32], bias: numpy.typing.NDArray[numpy.float32], weight: numpy.typing.NDArray[numpy.float32], pooled: GcnPooled, readout: numpy.typing.NDArray[numpy.float32], of_readout: numpy.typing.NDArray[numpy.float32], of_sums: numpy.typing.NDArray[numpy.float32] | None, of_rows: numpy.typing.NDArray[numpy.float32] | None, of_matrix: numpy.typing.NDArray[numpy.float32], of_bias: numpy.typing.NDArray[numpy.float32], of_weight: numpy.typing.NDArray[numpy.float32], num_threads: typing.SupportsInt | typing.SupportsIndex) -> None:
    """
    Gradients of gcn_block with respect to rows (None: not wanted), matrix, bias, weight.
    """
def gcn_input_sums(graphs: GcnGraphs, parts: list[tuple[numpy.typing.NDArray[numpy.int32], numpy.typing.NDArray[numpy.float32], numpy.typing.NDArray[numpy.int64], numpy.typing.NDArray[numpy.float32]]], marked: bool, atoms: numpy.typing.NDArray[numpy.float32], mean: numpy.typing.NDArray[numpy.float32], deviation: numpy.typing.NDArray[numpy.float32], out: numpy.typing.NDArray[numpy.float32], num_threads: typing.SupportsInt | typing.SupportsIndex) -> None:
    """
    D^-1/2 (A + I) D^-1/2 x of the standardised input rows x: of each part (first node of each graph, own columns, neighbours, distances), with the columns of its atoms.
    """
def gcn_pool(graphs: GcnGraphs, y: numpy.typing.NDArray[numpy.float32], bias: numpy.typing.NDArray[numpy.float32] | None, weight: numpy.typing.NDArray[numpy.float32], ratio: typing.SupportsFloat | typing.SupportsIndex, readout: numpy.typing.NDArray[numpy.float32], sums: numpy.typing.NDArray[numpy.float32] | None, num_threads: typing.SupportsInt | typing.SupportsIndex) -> GcnPooled:
    """
    ReLU with a bias (neither where it is None), TopK pooling, readout, and the sums of the pooled rows.
    """
def gcn_pool_backward(graphs: GcnGraphs, y: numpy.typing.NDArray[numpy.float32], bias: numpy.typing.NDArray[numpy.float32] | None, weight: numpy.typing.NDArray[numpy.float32], pooled: GcnPooled, readout: numpy.typing.NDArray[numpy.float32], of_readout: numpy.typing.NDArray[numpy.float32], of_sums: numpy.typing.NDArray[numpy.float32] | None, of_y: numpy.typing.NDArray[numpy.float32], of_bias: numpy.typing.NDArray[numpy.float32], of_weight: numpy.typing.NDArray[numpy.float32], num_threads: typing.SupportsInt | typing.SupportsIndex) -> None:
    """
    Gradients of gcn_pool with respect to y, bias and weight.
    """
def landscape_network(values: numpy.typing.NDArray[numpy.float32], field: BvseField, rotations: numpy.typing.NDArray[numpy.int32], translations: numpy.typing.NDArray[numpy.float64], connectivity: typing.SupportsInt | typing.SupportsIndex, margin: typing.SupportsFloat | typing.SupportsIndex, margin_slope: typing.SupportsFloat | typing.SupportsIndex, cutoff: typing.SupportsFloat | typing.SupportsIndex, num_threads: typing.SupportsInt | typing.SupportsIndex = 1) -> dict[str, typing.Any]:
    """
    Minima and saddles of the field up to an absolute energy (nan: the highest percolation level).
    """
def lattice_gas(energy: numpy.typing.NDArray[numpy.float64], move_start: numpy.typing.NDArray[numpy.int64], target: numpy.typing.NDArray[numpy.int32], reverse: numpy.typing.NDArray[numpy.int64], barrier: numpy.typing.NDArray[numpy.float64], prefactor: numpy.typing.NDArray[numpy.float64], step: numpy.typing.NDArray[numpy.float64], pair_start: numpy.typing.NDArray[numpy.int64], pair_site: numpy.typing.NDArray[numpy.int32], pair_energy: numpy.typing.NDArray[numpy.float64], ions: typing.SupportsInt | typing.SupportsIndex, replicas: typing.SupportsInt | typing.SupportsIndex, levels: typing.SupportsInt | typing.SupportsIndex, piece_events: typing.SupportsInt | typing.SupportsIndex, warmup_events: typing.SupportsInt | typing.SupportsIndex, sweeps: typing.SupportsInt | typing.SupportsIndex, seed: typing.SupportsInt | typing.SupportsIndex, num_threads: typing.SupportsInt | typing.SupportsIndex = 1) -> dict[str, typing.Any]:
    """
    Rejection-free kinetic Monte Carlo of a lattice gas: squared displacements of the ions and of their sum.
    """
def leaf_sums(nodes: numpy.typing.NDArray[numpy.int32], roots: numpy.typing.NDArray[numpy.int32], member: numpy.typing.NDArray[numpy.int32], rows: numpy.typing.NDArray[numpy.float32], members: typing.SupportsInt | typing.SupportsIndex) -> numpy.typing.NDArray[numpy.float64]:
    """
    (members, n) sums of the leaves that the rows (n, columns) reach in the members' trees; nodes (N, 4) hold feature (-1: leaf), bits of the threshold or value, left and right child.
    """
def level_shares(values: numpy.typing.NDArray[numpy.float32], minimum: typing.SupportsFloat | typing.SupportsIndex, levels: numpy.typing.NDArray[numpy.float32], *, kt: typing.SupportsFloat | typing.SupportsIndex) -> tuple[typing.Any, ...]:
    """
    Share of the points of a float32 grid at most `levels` above `minimum`, and the mean of exp(-height / kt).
    """
def max_threads() -> int:
    """
    Threads that the OpenMP runtime would use by default (1 without OpenMP).
    """
def nearest_atoms(cell: numpy.typing.NDArray[numpy.float64], atom_frac: numpy.typing.NDArray[numpy.float64], atom_key: numpy.typing.NDArray[numpy.int32], points: numpy.typing.NDArray[numpy.float64], k: typing.SupportsInt | typing.SupportsIndex, skip: numpy.typing.NDArray[numpy.int32], num_threads: typing.SupportsInt | typing.SupportsIndex) -> tuple[typing.Any, ...]:
    """
    The k nearest atoms of each point over all periodic images: index (P, k), image (P, k, 3), distance (P, k).
    """
def nearest_kinds(cell: numpy.typing.NDArray[numpy.float64], frac: numpy.typing.NDArray[numpy.float64], marked: numpy.typing.NDArray[numpy.bool], *, reach: typing.SupportsFloat | typing.SupportsIndex, too_near: typing.SupportsFloat | typing.SupportsIndex) -> tuple[typing.Any, ...]:
    """
    Distance of each marked point to the nearest marked and to the nearest unmarked one, `reach` at most and more than `too_near` angstrom.
    """
def neighbours(cell: numpy.typing.NDArray[numpy.float64], frac: numpy.typing.NDArray[numpy.float64], cutoff: typing.SupportsFloat | typing.SupportsIndex) -> tuple[typing.Any, ...]:
    """
    Periodic neighbours within `cutoff` angstrom: (offsets (n + 1,), index (m,), distance (m,)), nearest first.
    """
def network(cell: numpy.typing.NDArray[numpy.float64], frac: numpy.typing.NDArray[numpy.float64], radius: numpy.typing.NDArray[numpy.float64], rotations: numpy.typing.NDArray[numpy.int32], translations: numpy.typing.NDArray[numpy.float64], *, generators: bool = False, face_centers: bool = False, use_symmetry: bool = True, num_threads: typing.SupportsInt | typing.SupportsIndex = 1) -> dict[str, typing.Any]:
    """
    Interstitial network of spheres: sites, edges with bottlenecks, orbits, free-sphere radii.
    """
@typing.overload
def percolate_grid(values: numpy.typing.NDArray[numpy.float64], connectivity: typing.SupportsInt | typing.SupportsIndex = 26, paths: bool = False, num_threads: typing.SupportsInt | typing.SupportsIndex = 1) -> dict[str, typing.Any]:
    """
    Energies at which the set below percolates in 1, 2, 3 dimensions: dict(minimum, minimum_voxel, levels); each level holds energy, voxel, minimum, minimum_voxel, basins, translations (rows, in cells).
    """
@typing.overload
def percolate_grid(values: numpy.typing.NDArray[numpy.float32], connectivity: typing.SupportsInt | typing.SupportsIndex = 26, paths: bool = False, num_threads: typing.SupportsInt | typing.SupportsIndex = 1) -> dict[str, typing.Any]:
    """
    The same on a float32 grid of bond valence energies; points at the field's ceiling are never entered.
    """
def point_orbits(cell: numpy.typing.NDArray[numpy.float64], frac: numpy.typing.NDArray[numpy.float64], rotations: numpy.typing.NDArray[numpy.int32], translations: numpy.typing.NDArray[numpy.float64], tolerance: typing.SupportsFloat | typing.SupportsIndex = 0.05) -> numpy.typing.NDArray[numpy.int32]:
    """
    Orbit label of each point under symmetry operations.
    """
def pure_translations(cell: numpy.typing.NDArray[numpy.float64], frac: numpy.typing.NDArray[numpy.float64], kind: numpy.typing.NDArray[numpy.int32], offsets: numpy.typing.NDArray[numpy.int64], distance: numpy.typing.NDArray[numpy.float64], *, tolerance: typing.SupportsFloat | typing.SupportsIndex) -> dict[str, typing.Any]:
    """
    Translations that map points of several kinds on each other, the primitive cell that they leave, and whether nothing but the identity fits.
    """
def refine_percolation(values: numpy.typing.NDArray[numpy.float32], field: BvseField, split: BvseSplit, rotations: numpy.typing.NDArray[numpy.int32], translations: numpy.typing.NDArray[numpy.float64], connectivity: typing.SupportsInt | typing.SupportsIndex = 26, margin: typing.SupportsFloat | typing.SupportsIndex = 0.12, margin_slope: typing.SupportsFloat | typing.SupportsIndex = 0.06, paths: bool = False, num_threads: typing.SupportsInt | typing.SupportsIndex = 1) -> dict[str, typing.Any]:
    """
    Percolation levels of the continuous field, seeded by its float32 grid.
    """
def saddle_paths(field: BvseField, saddles: numpy.typing.NDArray[numpy.float64], num_threads: typing.SupportsInt | typing.SupportsIndex = 1) -> tuple[typing.Any, ...]:
    """
    Steepest descents from saddles to both sides: offsets, fractional points, energies.
    """
def simd_level() -> str:
    """
    Instruction set level that the kernels run at on this machine.
    """
def site_symmetry(cell: numpy.typing.NDArray[numpy.float64], frac: numpy.typing.NDArray[numpy.float64], kind: numpy.typing.NDArray[numpy.int32], rotations: numpy.typing.NDArray[numpy.int32], translations: numpy.typing.NDArray[numpy.float64], tolerance: typing.SupportsFloat | typing.SupportsIndex) -> tuple[typing.Any, ...]:
    """
    Indices of the operations that the sites obey within `tolerance` (A) and that form a group, the sites averaged over them, and the largest shift (A).
    """
def space_operations(cell: numpy.typing.NDArray[numpy.float64], frac: numpy.typing.NDArray[numpy.float64], kind: numpy.typing.NDArray[numpy.int32], *, tight: typing.SupportsFloat | typing.SupportsIndex, loose: typing.SupportsFloat | typing.SupportsIndex) -> typing.Any:
    """
    Operations of a primitive cell (rotations, translations, orbits), or None unless each maps it within `tight` and each other is off by more than `loose` (angstrom).
    """
def spread(values: numpy.typing.NDArray[numpy.float64]) -> tuple[typing.Any, ...]:
    """
    Mean, standard deviation (over n), smallest, median and largest of (n,) numbers; NaN for none.
    """
def tessellate(cell: numpy.typing.NDArray[numpy.float64], frac: numpy.typing.NDArray[numpy.float64], radius: numpy.typing.NDArray[numpy.float64], *, faces: bool = False, merge_tolerance: typing.SupportsFloat | typing.SupportsIndex = 1e-05, num_threads: typing.SupportsInt | typing.SupportsIndex = 1) -> dict[str, typing.Any]:
    """
    Periodic power diagram of spheres: vertices with generators, edges with owners, cell volumes.
    """
def transport_network(values: numpy.typing.NDArray[numpy.float32], field: BvseField, rotations: numpy.typing.NDArray[numpy.int32], translations: numpy.typing.NDArray[numpy.float64], crystal_rotations: numpy.typing.NDArray[numpy.float64], crystal_translations: numpy.typing.NDArray[numpy.float64], points: numpy.typing.NDArray[numpy.float64], positions: numpy.typing.NDArray[numpy.float64], ceiling: typing.SupportsFloat | typing.SupportsIndex, margin: typing.SupportsFloat | typing.SupportsIndex = 0.12, margin_slope: typing.SupportsFloat | typing.SupportsIndex = 0.06) -> dict[str, typing.Any]:
    """
    Sites and hops of the energy landscape up to an absolute energy, closed under the operations of the crystal, and the sites that points drain to. The field obeys the first operations exactly.
    """
def void_walks(field: BvseField, frac: numpy.typing.NDArray[numpy.float64], num_threads: typing.SupportsInt | typing.SupportsIndex = 1) -> numpy.typing.NDArray[numpy.float64]:
    """
    (n, 2) eV at fractional points and lowest on a short descent from there.
    """
def xrd_patterns(cells: numpy.typing.NDArray[numpy.float64], first: numpy.typing.NDArray[numpy.int64], frac: numpy.typing.NDArray[numpy.float64], occupancy: numpy.typing.NDArray[numpy.float64], scatterer: numpy.typing.NDArray[numpy.int32], table: numpy.typing.NDArray[numpy.float64], wavelength: typing.SupportsFloat | typing.SupportsIndex, two_theta: tuple[typing.SupportsFloat | typing.SupportsIndex, typing.SupportsFloat | typing.SupportsIndex], bins: typing.SupportsInt | typing.SupportsIndex, step: typing.SupportsFloat | typing.SupportsIndex, profile: collections.abc.Sequence[typing.SupportsFloat | typing.SupportsIndex], num_threads: typing.SupportsInt | typing.SupportsIndex) -> numpy.typing.NDArray[numpy.float32]:
    """
    Patterns of many crystals (C, bins), float32, strongest bin 1; atoms of crystal i are first[i]:first[i + 1].
    """
def xrd_peaks(cell: numpy.typing.NDArray[numpy.float64], frac: numpy.typing.NDArray[numpy.float64], occupancy: numpy.typing.NDArray[numpy.float64], scatterer: numpy.typing.NDArray[numpy.int32], table: numpy.typing.NDArray[numpy.float64], wavelength: typing.SupportsFloat | typing.SupportsIndex, two_theta_min: typing.SupportsFloat | typing.SupportsIndex, two_theta_max: typing.SupportsFloat | typing.SupportsIndex) -> tuple[typing.Any, ...]:
    """
    Peaks of one crystal: (2 theta in degrees, intensity, d in angstrom, hkl (P, 3), multiplicity).
    """
gcn_lanes: int = 16
has_openmp: bool
