"""The layers of `fastin.ml.layers` for prediction in numpy, all members of an ensemble at once.

Arrays have the members in front: rows are (M, n, F), weights (M, F, H). One call of numpy does the work of M.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_NORM_EPS = 1e-5  # torch's LayerNorm
#: Multiplications in one product: above, numpy's BLAS starts threads, which wait spinning while others need the cores.
_ONE_THREAD = 2**18
#: Entries of a matrix of zeros and ones up to which a product with it is the quickest sum of rows.
_SMALL = 2**14
_SOFTPLUS_LINEAR = 20.0  # torch's softplus is the identity above


class Weights:
    """Tensors of all members by name, stacked; keeps account of which were used.

    Args:
        members: state dictionary of each member, in numpy.

    Raises:
        ValueError: the members do not have the same names and shapes.
    """

    def __init__(self, members: Sequence[Mapping[str, Array]]) -> None:
        first = members[0]
        shapes = {name: value.shape for name, value in first.items()}
        if any({name: value.shape for name, value in m.items()} != shapes for m in members):
            raise ValueError("the members differ in the names or shapes of their weights")
        self.count = len(members)
        self._of = {name: np.stack([m[name] for m in members]) for name in first}
        self._used: set[str] = set()

    def names(self, prefix: str) -> list[str]:
        """Names that start so."""
        return [name for name in self._of if name.startswith(prefix)]

    def __contains__(self, name: str) -> bool:
        return name in self._of

    def take(self, name: str) -> Array:
        """(M, ...) the tensors of that name."""
        self._used.add(name)
        return self._of[name]

    def skip(self, prefix: str) -> None:
        """These serve the training only."""
        self._used.update(self.names(prefix))

    def left(self) -> list[str]:
        """Names that nothing has taken: an architecture that this code does not know."""
        return sorted(set(self._of) - self._used)


class Linear:
    """``x W + b``."""

    def __init__(self, weights: Weights, name: str) -> None:
        self.weight = np.ascontiguousarray(weights.take(f"{name}.weight").swapaxes(1, 2))
        self.bias = weights.take(f"{name}.bias")[:, None] if f"{name}.bias" in weights else None

    def __call__(self, x: Array) -> Array:
        """(M, n, F) -> (M, n, H)."""
        out = _product(x, self.weight)
        if self.bias is not None:
            out += self.bias
        return out


def _product(x: Array, weight: Array) -> Array:
    """(M, n, F) @ (M, F, H) in blocks of rows, each on one thread."""
    members, n, inner = x.shape
    outer = weight.shape[2]
    block = max(1, _ONE_THREAD // (inner * outer))
    if n <= block:
        return np.asarray(x @ weight)
    whole = n - n % block
    out = np.empty((members, n, outer), x.dtype)
    for member in range(members):  # every slice is contiguous
        rows = x[member, :whole].reshape(-1, block, inner)
        np.matmul(rows, weight[member], out=out[member, :whole].reshape(-1, block, outer))
        if whole < n:
            np.matmul(x[member, whole:], weight[member], out=out[member, whole:])
    return out


class Stack:
    """`fastin.ml.layers.mlp`: linear layers with SiLU between them."""

    def __init__(self, weights: Weights, name: str) -> None:
        places = sorted(
            int(n[len(name) + 1 :].split(".")[0]) for n in weights.names(f"{name}.") if n.endswith(".weight")
        )
        if not places:
            raise KeyError(f"{name}.0.weight")
        self.layers = [Linear(weights, f"{name}.{place}") for place in places]

    def __call__(self, x: Array) -> Array:
        """(M, n, F) -> (M, n, H)."""
        x = self.layers[0](x)
        for layer in self.layers[1:]:
            x = layer(silu(x))
        return x


class Norm:
    """Layer normalisation."""

    def __init__(self, weights: Weights, name: str) -> None:
        self.weight, self.bias = (weights.take(f"{name}.{part}")[:, None] for part in ("weight", "bias"))

    def __call__(self, x: Array) -> Array:
        """Rows of zero mean and unit variance, scaled and shifted."""
        centred: Array = x - np.add.reduce(x, axis=-1, keepdims=True) / np.float32(x.shape[-1])
        variance = np.einsum("mnf,mnf->mn", centred, centred)[..., None] / np.float32(x.shape[-1])
        centred *= self.weight / np.sqrt(variance + np.float32(_NORM_EPS))
        centred += self.bias
        return centred


def sigmoid(x: Array) -> Array:
    """``1 / (1 + exp(-x))``."""
    with np.errstate(over="ignore"):
        out: Array = np.exp(-x)
    out += 1.0
    np.divide(1.0, out, out=out)
    return out


def silu(x: Array) -> Array:
    """``x sigmoid(x)``."""
    with np.errstate(over="ignore"):
        out: Array = np.exp(-x)
    out += 1.0
    np.divide(x, out, out=out)
    return out


def softplus(x: Array) -> Array:
    """``log(1 + exp(x))``."""
    return np.asarray(
        np.where(x > _SOFTPLUS_LINEAR, x, np.log1p(np.exp(np.minimum(x, x.dtype.type(_SOFTPLUS_LINEAR)))))
    )


class Segments:
    """Sums of rows by an index, as `fastin.ml.rows.RowIndex`.

    Args:
        index: (m,) row of the result that each row belongs to.
        count: rows of the result.
    """

    def __init__(self, index: Array, count: int) -> None:
        self.matrix: Array | None = None
        if count * len(index) <= _SMALL:
            self.matrix = np.zeros((count, len(index)), np.float32)
            self.matrix[index, np.arange(len(index))] = 1.0
            return
        order = np.argsort(index, kind="stable")
        sizes = np.bincount(index, minlength=count)
        first = np.cumsum(sizes) - sizes
        self.count = count
        #: For each rank, the results with more rows than that, and the row that comes next in each.
        self.passes = []
        for rank in range(int(sizes.max(initial=0))):
            rows = np.flatnonzero(sizes > rank)
            self.passes.append((rows, order[first[rows] + rank]))

    def sum(self, values: Array) -> Array:
        """(M, count, F) sums of the rows (M, m, F)."""
        if self.matrix is not None:
            return np.asarray(self.matrix @ values)
        out = np.zeros((values.shape[0], self.count, values.shape[2]), values.dtype)
        for rows, taken in self.passes:
            out[:, rows] += values[:, taken]
        return out
