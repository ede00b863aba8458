"""CHGNet for energies and forces only.

The stock calculator asks for stress and magnetic moments too and builds the graph of a second derivative on every call,
as training needs it. Here the weights are frozen and forces come from one backward pass.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from ase.calculators.calculator import Calculator, all_changes


class CHGNetForces(Calculator):  # type: ignore[misc]
    """Energy and forces of CHGNet's shipped weights, also of several structures in one call.

    Args:
        device: of torch.
    """

    implemented_properties = ("energy", "forces")
    name = "chgnet"

    def __init__(self, device: str = "cpu") -> None:
        super().__init__()
        with contextlib.redirect_stdout(io.StringIO()):
            from chgnet.model import CHGNet

            self.model = CHGNet.load(verbose=False, use_device=device)
        self.model.eval()
        for weight in self.model.parameters():
            weight.requires_grad_(False)
        self.model.graph_converter.set_isolated_atom_response("ignore")
        self.device = device

    def calculate(self, atoms: Any = None, properties: Any = None, system_changes: Any = all_changes) -> None:
        """ASE's hook."""
        super().calculate(atoms, properties, system_changes)
        energy, forces = self.calculate_many([atoms])[0]
        self.results = {"energy": energy, "free_energy": energy, "forces": forces}

    def calculate_many(self, several: Sequence[Any]) -> list[tuple[float, np.ndarray[Any, np.dtype[np.float64]]]]:
        """Energies (eV) and forces (N, 3) (eV/A) of several structures at once."""
        import torch
        from chgnet.model.model import BatchedGraph

        graphs = [self._graph(atoms).to(self.device) for atoms in several]
        model = self.model
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # newer torch on how CHGNet takes the volumes
            batch = BatchedGraph.from_graphs(
                graphs, model.bond_basis_expansion, model.angle_basis_expansion, compute_stress=False
            )
        found = model._compute(batch)
        per_atom = found["e"]
        count = found["atoms_per_graph"]
        total = per_atom * count if model.is_intensive else per_atom
        gradients = torch.autograd.grad(total.sum(), list(batch.atom_positions))
        total = total.detach()
        if model.composition_model is not None:
            reference = model.composition_model(graphs).view(-1)
            total = total + (reference * count if model.is_intensive else reference)
        return [
            (float(energy), -gradient.detach().cpu().numpy().astype(np.float64))
            for energy, gradient in zip(total.cpu(), gradients, strict=True)
        ]

    def _graph(self, atoms: Any) -> Any:
        from pymatgen.core import Lattice, Structure

        structure = Structure(
            Lattice(np.asarray(atoms.cell)), atoms.get_chemical_symbols(), atoms.positions, coords_are_cartesian=True
        )
        return self.model.graph_converter(structure)
