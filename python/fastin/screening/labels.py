"""What the columns of the results mean: labels with units, explanations, and the names that they had before."""

from __future__ import annotations

from collections.abc import Container

#: Predicted quantities that have intervals: name and unit of their columns.
PREDICTED = (
    ("predicted_activation_energy", "_eV"),
    *((f"predicted_barrier_{d}d", "_eV") for d in (1, 2, 3)),
    ("predicted_experiment_activation_energy", "_eV"),
    ("predicted_log10_conductivity", "_S_per_cm"),
)

_EXPECTED = (
    "activation energy that a measurement would be expected to give",
    "log10 of the conductivity near 300 K that a measurement would be expected to give",
)
_ORIGIN_HELP = "model, or measured where the table of measurements holds the compound"

# Label with unit and explanation of the columns, for tables and pages.
_HELP: dict[str, tuple[str, str]] = {
    "id": ("id", "Name of the structure in the input"),
    "warnings": ("warnings", "Codes of reasons to doubt the structure or its numbers, severe ones first"),
    "barrier_1d_network_eV": (
        "E1D (eV)",
        "Barrier to percolation in one dimension, above the lowest point of what percolates",
    ),
    "barrier_2d_network_eV": ("E2D (eV)", "Barrier to percolation in two dimensions"),
    "barrier_3d_network_eV": ("E3D (eV)", "Barrier to percolation in three dimensions"),
    "barrier_1d_global_eV": ("E1D, global zero (eV)", "Barrier in one dimension above the lowest energy of the cell"),
    "barrier_2d_global_eV": ("E2D, global zero (eV)", "Barrier in two dimensions above the lowest energy of the cell"),
    "barrier_3d_global_eV": (
        "E3D, global zero (eV)",
        "Barrier in three dimensions above the lowest energy of the cell",
    ),
    "energy_minimum_eV": ("lowest energy (eV)", "Lowest bond valence site energy of the cell"),
    "largest_sphere_radius_A": ("largest sphere (Å)", "Radius of the largest void"),
    "included_sphere_radius_A": ("included sphere (Å)", "Radius of the largest void on the widest path"),
    "free_sphere_radius_a_A": ("free sphere a (Å)", "Radius of the widest path along a"),
    "free_sphere_radius_b_A": ("free sphere b (Å)", "Radius of the widest path along b"),
    "free_sphere_radius_c_A": ("free sphere c (Å)", "Radius of the widest path along c"),
    "percolation_radius_1d_A": ("free sphere 1D (Å)", "Radius of the widest path in any one direction"),
    "percolation_radius_2d_A": ("free sphere 2D (Å)", "Radius of the widest network in two directions"),
    "percolation_radius_3d_A": ("free sphere 3D (Å)", "Radius of the widest network in three directions"),
    "probe_radius_A": ("probe (Å)", "Radius of the probe for the channels"),
    "channel_dimensionality": ("channels (D)", "Directions in which the probe passes"),
    "kinetic_activation_energy_eV": (
        "Ea, hop model (eV)",
        "Effective activation energy of the hop model, 300 to 600 K",
    ),
    "log10_diffusivity_300K_cm2_per_s": ("lg D 300 K (cm²/s)", "Diffusivity of independent ions in the hop model"),
    "predicted_activation_energy_eV": ("predicted Ea (eV)", "Activation energy from the model that comes with fastin"),
    **{
        f"{name}_{end}_68{unit}": (
            f"{label}, 68 % {end} ({'eV' if unit == '_eV' else 'S/cm'})",
            f"{'Lower' if end == 'low' else 'Upper'} end of the interval that holds 68 %: {text}",
        )
        for (name, unit), label, text in zip(
            PREDICTED,
            ("predicted Ea", *(f"predicted E{d}D" for d in (1, 2, 3)), "expected Ea", "expected lg sigma"),
            ("barrier of the model", *(f"predicted barrier in {d}D" for d in (1, 2, 3)), *_EXPECTED),
            strict=True,
        )
        for end in ("low", "high")
    },
    "predicted_experiment_activation_energy_eV": ("expected Ea (eV)", _EXPECTED[0]),
    "predicted_log10_conductivity_S_per_cm": ("expected lg sigma (S/cm)", _EXPECTED[1]),
    "predicted_experiment_activation_energy_origin": ("expected Ea from", _ORIGIN_HELP),
    "predicted_log10_conductivity_origin": ("expected lg sigma from", _ORIGIN_HELP),
    "xrd_class": ("superionic?", "superionic (at least 5e-5 S/cm), poor, or out of domain"),
    "xrd_class_by": ("superionic? by", "What decided: measurement, pattern and formula, or the pattern alone"),
    "xrd_superionic_probability": ("P(superionic), pattern", "Probability by the powder pattern alone"),
    "xrd_superionic_probability_formula": ("P(superionic), formula", "Probability by the formula alone"),
    "xrd_superionic_probability_both": ("P(superionic)", "Probability by pattern and formula together"),
    "xrd_nearest_similarity": ("similarity", "Of the pattern to the nearest labelled one; below 0.7: out of domain"),
    "recovery_share": ("recovery_share", "Share of the mobile sites within 0.5 Å of the network"),
    "space_group": ("space group", "Space group of the whole crystal (spglib, symprec 0.01)"),
    "cell_volume_A3": ("volume (Å³)", "Volume of the cell"),
    **{
        f"relaxed_barrier_{d}d_eV": (f"relaxed E{d}D (eV)", f"Barrier in {d}D with every atom relaxed by a potential")
        for d in (1, 2, 3)
    },
    "relaxed_flags": ("relaxed: flags", "What casts doubt on the relaxed barriers"),
    "failed_tasks": ("failed tasks", "Tasks that gave an error"),
    "error_type": ("error", "Type of the first error"),
    "error_message": ("message", "Message of the first error"),
}


#: Names that columns had before, still understood by `top`, `report` and the web application.
FORMER_NAMES: dict[str, str] = {
    "volume_A3": "cell_volume_A3",
    "void_radius_max_A": "largest_sphere_radius_A",
    "largest_sphere": "largest_sphere_radius_A",
    "included_sphere": "included_sphere_radius_A",
    **{f"free_sphere_{axis}": f"free_sphere_radius_{axis}_A" for axis in "abc"},
    **{f"percolation_radius_{d}d": f"percolation_radius_{d}d_A" for d in (1, 2, 3)},
    "probe_radius": "probe_radius_A",
    "recovery": "recovery_share",
    **{f"e{d}d": f"barrier_{d}d_network_eV" for d in (1, 2, 3)},
    **{f"e{d}d_global": f"barrier_{d}d_global_eV" for d in (1, 2, 3)},
    "energy_minimum": "energy_minimum_eV",
    **{f"path_{d}d_length": f"path_{d}d_length_A" for d in (1, 2, 3)},
    "kinetic_activation_energy": "kinetic_activation_energy_eV",
    "log10_diffusivity_300K": "log10_diffusivity_300K_cm2_per_s",
    "predicted_activation_energy": "predicted_activation_energy_eV",
    "predicted_activation_energy_std": "predicted_activation_energy_std_eV",
    **{f"predicted_e{d}d": f"predicted_barrier_{d}d_eV" for d in (1, 2, 3)},
    **{f"predicted_e{d}d_std": f"predicted_barrier_{d}d_std_eV" for d in (1, 2, 3)},
    "predicted_experimental_energy": "predicted_experiment_activation_energy_eV",
    "predicted_log10_conductivity": "predicted_log10_conductivity_S_per_cm",
}


def present_name(name: str, columns: Container[str]) -> str | None:
    """The column that a name of today or of before means among `columns`, or ``None``."""
    if name in columns:
        return name
    for other in (FORMER_NAMES.get(name), *(old for old, new in FORMER_NAMES.items() if new == name)):
        if other is not None and other in columns:
            return other
    return None


def column_help(name: str) -> tuple[str, str]:
    """Label and explanation of a column."""
    label, text = _HELP.get(FORMER_NAMES.get(name, name), (name.replace("_", " "), ""))
    return label, text


def column_unit(name: str) -> str:
    """Unit of a column as its label gives it in parentheses; empty for names, counts and ratios."""
    label, _ = column_help(name)
    return label.rpartition("(")[2].rstrip(")") if label.endswith(")") else ""
