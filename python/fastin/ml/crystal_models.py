"""Crystal-graph models that the seed paper compares with: CGCNN, DeeperGATGNN, ALIGNN.

Written for fastin on `fastin.ml.layers` from the equations of the papers named in each class. Atoms enter by a
learned embedding of the atomic number (a linear map of a one-hot vector) and edges by Gaussians of the distance.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from fastin.ml.layers import RadialBasis, mlp, segment_mean, segment_softmax, segment_sum
from fastin.ml.models import GraphModel
from fastin.ml.rows import RowIndex

_ELEMENTS = 104


def _inputs(batch: Any) -> tuple[Tensor, Tensor, Tensor, Tensor, int]:
    """Atomic numbers, edges (neighbour -> atom), distances, graph of each atom, graphs."""
    if hasattr(batch, "fields"):
        f = batch.fields
        return (
            f["crystal_number"].long(),
            batch.edge_index,
            f["crystal_distance"].reshape(-1),
            batch.batch,
            batch.num_graphs,
        )
    graph_of = batch.batch if batch.batch is not None else torch.zeros_like(batch.z)
    return batch.z, batch.edge_index, batch.edge_attr.reshape(-1), graph_of, int(graph_of.max()) + 1


class _CGCNNLayer(nn.Module):
    """Eq. 5 of Xie and Grossman: ``v_i += sum_j sigmoid(z W_f + b_f) * softplus(z W_s + b_s)``, z = v_i, v_j, u_ij."""

    def __init__(self, hidden: int, basis: int) -> None:
        super().__init__()
        self.both = nn.Linear(2 * hidden + basis, 2 * hidden)
        self.inner = nn.BatchNorm1d(2 * hidden)
        self.outer = nn.BatchNorm1d(hidden)

    def forward(self, v: Tensor, edges: tuple[RowIndex, RowIndex], u: Tensor) -> Tensor:
        source, target = edges
        # The linear map of [v_i, v_j, u_ij] is applied to each part where it lives: atoms are fewer than bonds.
        of_target, of_source, of_edge = torch.split(self.both.weight, [v.shape[1], v.shape[1], u.shape[1]], dim=1)
        ends = target.take(v @ of_target.T) + source.take(v @ of_source.T)
        gate, core = self.inner(torch.addmm(self.both.bias, u, of_edge.T) + ends).chunk(2, dim=1)
        message = target.sum(torch.sigmoid(gate) * nn.functional.softplus(core))
        return nn.functional.softplus(v + self.outer(message))


class CGCNN(GraphModel):
    """Crystal graph convolutional network (T. Xie and J. C. Grossman, Phys. Rev. Lett. 120, 145301 (2018)).

    Defaults are the paper's: atom vectors of 64, 3 convolutions, 41 Gaussians from 0 to 8 angstrom, mean pooling,
    one hidden layer of 128.
    """

    kind = "crystal"

    def __init__(self, targets: int = 1, hidden: int = 64, layers: int = 3, head: int = 128) -> None:
        super().__init__(targets)
        self.embed = nn.Embedding(_ELEMENTS, hidden)
        self.basis = RadialBasis(0.0, 8.0, 41)
        self.layers = nn.ModuleList(_CGCNNLayer(hidden, 41) for _ in range(layers))
        self.head = nn.Sequential(nn.Linear(hidden, head), nn.Softplus(), nn.Linear(head, targets))

    def normalised(self, batch: Any) -> Tensor:
        """(G, T) normalised targets."""
        z, edge_index, distance, graph_of, graphs = _inputs(batch)
        v, u = self.embed(z), self.basis(distance)
        edges = RowIndex(edge_index[0], len(v)), RowIndex(edge_index[1], len(v))
        for layer in self.layers:
            v = layer(v, edges, u)
        out: Tensor = self.head(nn.functional.softplus(segment_mean(v, graph_of, graphs)))
        return out


class _AGATLayer(nn.Module):
    """Augmented graph attention of GATGNN (Eqs. 4-6) with DeeperGATGNN's differentiable group norm and skip."""

    def __init__(self, hidden: int, basis: int, heads: int, groups: int) -> None:
        super().__init__()
        self.heads, self.hidden = heads, hidden
        self.transform = nn.Linear(hidden + basis, heads * hidden, bias=False)
        self.attention = nn.Parameter(torch.empty(heads, 2 * hidden))
        nn.init.xavier_uniform_(self.attention)
        self.score_norm = nn.BatchNorm1d(heads)
        self.bias = nn.Parameter(torch.zeros(hidden))
        self.assign = nn.Linear(hidden, groups)
        self.group_norm = nn.BatchNorm1d(groups * hidden)
        self.groups = groups

    def forward(self, v: Tensor, edges: tuple[RowIndex, RowIndex], u: Tensor) -> Tensor:
        source, target = edges
        act = nn.functional.softplus
        of_atom, of_edge = torch.split(self.transform.weight, [v.shape[1], u.shape[1]], dim=1)
        atom, edge = v @ of_atom.T, u @ of_edge.T
        at = act(target.take(atom) + edge).reshape(-1, self.heads, self.hidden)
        near = act(source.take(atom) + edge).reshape(-1, self.heads, self.hidden)
        own, other = torch.split(self.attention, self.hidden, dim=1)
        score = act((at * own).sum(dim=2) + (near * other).sum(dim=2))
        weight = segment_softmax(act(self.score_norm(score)), target.index, len(v))
        out = target.sum(weight.unsqueeze(2) * near).mean(dim=1) + self.bias
        share = torch.softmax(self.assign(out), dim=1)
        spread = self.group_norm((share.unsqueeze(2) * out.unsqueeze(1)).reshape(len(v), -1))
        spread = spread.reshape(len(v), self.groups, self.hidden).sum(dim=1)
        updated: Tensor = v + out + 0.01 * spread
        return updated


class DeeperGATGNN(GraphModel):
    """Graph attention with global attention over the crystal.

    Augmented attention layers and the composition-based global attention of GATGNN (S.-Y. Louis et al., Phys. Chem.
    Chem. Phys. 22, 18141 (2020)), with differentiable group normalisation and skip connections of DeeperGATGNN
    (S. S. Omee et al., Patterns 3, 100491 (2022)).
    """

    kind = "crystal"

    def __init__(self, targets: int = 1, hidden: int = 64, layers: int = 5, heads: int = 4, groups: int = 10) -> None:
        super().__init__(targets)
        self.embed = nn.Embedding(_ELEMENTS, hidden)
        self.basis = RadialBasis(0.0, 8.0, 41)
        self.edge = nn.Linear(41, hidden)
        self.layers = nn.ModuleList(_AGATLayer(hidden, hidden, heads, groups) for _ in range(layers))
        self.global_score = nn.Sequential(nn.Linear(hidden + _ELEMENTS, hidden), nn.Softplus(), nn.Linear(hidden, 1))
        self.head = nn.Sequential(nn.Linear(hidden, hidden), nn.Softplus(), nn.Linear(hidden, targets))

    def normalised(self, batch: Any) -> Tensor:
        """(G, T) normalised targets."""
        z, edge_index, distance, graph_of, graphs = _inputs(batch)
        v = self.embed(z)
        u = nn.functional.leaky_relu(self.edge(self.basis(distance)), 0.2)
        edges = RowIndex(edge_index[0], len(v)), RowIndex(edge_index[1], len(v))
        for layer in self.layers:
            v = layer(v, edges, u)
        one_hot = nn.functional.one_hot(z, _ELEMENTS).to(v.dtype)
        composition = segment_mean(one_hot, graph_of, graphs)
        score = self.global_score(torch.cat([v, composition[graph_of]], dim=1)).squeeze(1)
        weight = segment_softmax(score, graph_of, graphs)
        out: Tensor = self.head(segment_sum(weight.unsqueeze(1) * v, graph_of, graphs))
        return out


class _EdgeGatedLayer(nn.Module):
    """Edge-gated graph convolution (Choudhary and DeCost, Eqs. 1-3; after Dwivedi et al.)."""

    def __init__(self, hidden: int, update_edges: bool = True) -> None:
        super().__init__()
        self.source_gate, self.target_gate = nn.Linear(hidden, hidden), nn.Linear(hidden, hidden)
        self.edge_gate = nn.Linear(hidden, hidden)
        self.source_update, self.target_update = nn.Linear(hidden, hidden), nn.Linear(hidden, hidden)
        self.node_norm = nn.BatchNorm1d(hidden)
        self.edge_norm = nn.BatchNorm1d(hidden) if update_edges else None

    def forward(self, h: Tensor, edges: tuple[RowIndex, RowIndex], e: Tensor) -> tuple[Tensor, Tensor]:
        source, target = edges
        silu = nn.functional.silu
        m = source.take(self.source_gate(h)) + target.take(self.target_gate(h)) + self.edge_gate(e)
        gate = torch.sigmoid(m)
        message = target.sum(gate * source.take(self.source_update(h))) / (target.sum(gate) + 1e-6)
        h = h + silu(self.node_norm(self.target_update(h) + message))
        return h, e if self.edge_norm is None else e + silu(self.edge_norm(m))


class ALIGNN(GraphModel):
    """Atomistic line graph network (K. Choudhary and B. DeCost, npj Comput. Mater. 7, 185 (2021)).

    Each ALIGNN layer convolves the line graph (nodes bonds, edges pairs of bonds that share an atom, with Gaussians
    of the cosine of their angle), then the crystal graph; plain edge-gated layers follow; mean pooling.

    Args:
        targets: outputs.
        hidden: width (the paper: 256).
        alignn_layers, gcn_layers: the paper: 4 and 4; two of each keep the cost of a bond pair affordable on a CPU.
        pair_neighbours: only pairs among each atom's nearest so many bonds enter the line graph.
    """

    kind = "crystal"

    def __init__(
        self,
        targets: int = 1,
        hidden: int = 64,
        alignn_layers: int = 2,
        gcn_layers: int = 2,
        pair_neighbours: int = 12,
    ) -> None:
        super().__init__(targets)
        self.pair_neighbours = pair_neighbours
        self.embed = nn.Embedding(_ELEMENTS, hidden)
        self.distance_basis = RadialBasis(0.0, 8.0, 80)
        self.angle_basis = RadialBasis(-1.0, 1.0, 40)
        self.edge_in = mlp(80, hidden, hidden, last=True)
        self.angle_in = mlp(40, hidden, hidden, last=True)
        # Edge states that nothing reads any more are not updated.
        self.line = nn.ModuleList(_EdgeGatedLayer(hidden, i + 1 < alignn_layers) for i in range(alignn_layers))
        self.bond = nn.ModuleList(
            _EdgeGatedLayer(hidden, i + 1 < alignn_layers or gcn_layers > 0) for i in range(alignn_layers)
        )
        self.plain = nn.ModuleList(_EdgeGatedLayer(hidden, i + 1 < gcn_layers) for i in range(gcn_layers))
        self.head = nn.Linear(hidden, targets)

    def _line_graph(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """Pairs of bonds (numbered atom * k + j) that meet at an atom, and the cosine between them."""
        atoms, k, _ = vectors.shape
        m = min(k, self.pair_neighbours)
        unit = vectors[:, :m] / vectors[:, :m].norm(dim=2, keepdim=True).clamp(min=1e-6)
        cosine = torch.einsum("aic,ajc->aij", unit, unit)
        one, two = torch.meshgrid(torch.arange(m), torch.arange(m), indexing="ij")
        off = (one != two).to(vectors.device)
        first = torch.arange(atoms, device=vectors.device).reshape(-1, 1) * k
        left = first + one.to(vectors.device)[off].reshape(1, -1)
        right = first + two.to(vectors.device)[off].reshape(1, -1)
        return torch.stack([left.reshape(-1), right.reshape(-1)]), cosine[:, off].reshape(-1)

    def normalised(self, batch: Any) -> Tensor:
        """(G, T) normalised targets."""
        z, edge_index, distance, graph_of, graphs = _inputs(batch)
        vectors = batch.fields["crystal_vector"] if hasattr(batch, "fields") else batch.edge_vector
        vectors = vectors.reshape(len(z), -1, 3)
        h, e = self.embed(z), self.edge_in(self.distance_basis(distance))
        pairs, cosine = self._line_graph(vectors)
        t = self.angle_in(self.angle_basis(cosine))
        pair_ends = RowIndex(pairs[0], len(e)), RowIndex(pairs[1], len(e))
        edges = RowIndex(edge_index[0], len(h)), RowIndex(edge_index[1], len(h))
        for line, bond in zip(self.line, self.bond, strict=True):
            e, t = line(e, pair_ends, t)
            h, e = bond(h, edges, e)
        for layer in self.plain:
            h, e = layer(h, edges, e)
        out: Tensor = self.head(segment_mean(h, graph_of, graphs))
        return out
