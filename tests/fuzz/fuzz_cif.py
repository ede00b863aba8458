"""Coverage-guided fuzzing of the CIF reader, with atheris (libFuzzer for Python; ``pip install atheris``).

    python tests/fuzz/fuzz_cif.py -runs=100000 -max_len=4096 corpus

Arguments are libFuzzer's. An empty corpus is filled with the bundled examples. A crystal or a typed error that names
the source is an answer; any other exception, a warning of numpy, and 20 s for one input are faults. Half of the
mutations are libFuzzer's, half move, replace and repeat words and lines of CIF.
"""

from __future__ import annotations

import importlib
import pkgutil
import random
import sys
import warnings
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["fastin.crystal", "fastin.runtime.arrays"], exclude=["fastin.runtime.openmp"]):
    import fastin.crystal
    from fastin.crystal.crystal import Crystal
    from fastin.crystal.examples import examples
    from fastin.crystal.sites import decode
    from fastin.errors import FastinError

    for module in pkgutil.walk_packages(fastin.crystal.__path__, "fastin.crystal."):  # also those imported at first use
        importlib.import_module(module.name)

SOURCE = "fuzz.cif"
WORDS = [
    *(
        "?",
        ".",
        "-1",
        "0",
        "1e9",
        "-1e-9",
        "1e400",
        "nan",
        "inf",
        "0.5(",
        "'",
        '"',
        ";",
        "#",
        "loop_",
        "data_",
        "stop_",
    ),
    *("Xx", "D", "Li99+", "O2-", "x,y,z", "-x+1/2,y,z", "1/0", "0.333", "1.00001", "90", "120", "1", "2", "225", "R"),
    *("_cell_length_a", "_cell_angle_gamma", "_atom_site_label", "_atom_site_type_symbol", "_atom_site_fract_x"),
    *(
        "_atom_site_occupancy",
        "_atom_site_U_iso_or_equiv",
        "_atom_site_disorder_group",
        "_atom_site_symmetry_multiplicity",
    ),
    *("_atom_type_oxidation_number", "_space_group_IT_number", "_symmetry_equiv_pos_as_xyz", "_chemical_formula_sum"),
    *("_cell_formula_units_Z", "_exptl_crystal_density_diffrn", "_space_group_symop_magn_operation.xyz"),
    *("_symmetry_space_group_name_H-M 'F d -3 m :2'", "_space_group_name_Hall '-F 4 2 3'", "save_frame", "global_"),
]


def one_input(data: bytes) -> None:
    """Reads, builds and resolves the framework; raises where that is no answer."""
    try:
        text = decode(data, SOURCE)
        crystal = Crystal.from_cif_string(text, source=SOURCE)
        framework = crystal.framework("Li")
    except FastinError as error:
        if not str(error).startswith(SOURCE):
            raise AssertionError(f"an error without its source: {error}") from error
        return
    assert float(framework.radius.min()) >= 0.0
    assert float(framework.frac.min()) >= 0.0
    assert float(framework.frac.max()) < 1.0


def mutate(data: bytes, largest: int, seed: int) -> bytes:
    """libFuzzer's own mutation, or one of words and lines."""
    rng = random.Random(seed)
    if not data or rng.random() < 0.5:
        return atheris.Mutate(data, largest)
    lines = data.decode("utf-8", "replace").split("\n")
    row, other = rng.randrange(len(lines)), rng.randrange(len(lines))
    kind = rng.randrange(6)
    if kind == 0:
        del lines[row]
    elif kind == 1:
        lines.insert(other, lines[row])
    elif kind == 2:
        lines[row], lines[other] = lines[other], lines[row]
    else:
        words = lines[row].split(" ")
        at = rng.randrange(len(words))
        words[at : at + rng.randrange(2)] = [rng.choice(WORDS if kind < 5 else lines[other].split() or [""])]
        lines[row] = " ".join(words)
    return "\n".join(lines).encode()[:largest]


def fill(corpus: Path) -> None:
    """The bundled examples as the first inputs."""
    corpus.mkdir(parents=True, exist_ok=True)
    if not any(corpus.iterdir()):
        for name, path in examples().items():
            (corpus / name).write_bytes(Path(path).read_bytes())


def main() -> None:
    """Starts libFuzzer."""
    warnings.simplefilter("error")
    folders = [argument for argument in sys.argv[1:] if not argument.startswith("-")]
    if folders:
        fill(Path(folders[0]))
    atheris.Setup([sys.argv[0], "-timeout=20", *sys.argv[1:]], one_input, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
