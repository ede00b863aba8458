"""HTML of the main results in notebooks."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest

import fastin
from fastin.runtime.html import table


class Balance(HTMLParser):
    """Fails on tags that do not nest; collects the text."""

    def __init__(self):
        super().__init__()
        self.open, self.text = [], []

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def text_of(html):
    parser = Balance()
    parser.feed(html)
    assert not parser.open
    return "|".join(parser.text)


@pytest.fixture(scope="module")
def path():
    return fastin.examples()["Li3OCl"]


def test_main_results(path):
    crystal = fastin.Crystal.from_file(path)
    assert "Pm-3m (221)" in text_of(crystal._repr_html_())
    assert "Li+ 3" in text_of(crystal._repr_html_())
    network = fastin.compute_network(crystal, exact=True)
    assert "12, 1 inequivalent" in text_of(network._repr_html_())
    assert "exact free sphere" in text_of(network._repr_html_())
    grid = fastin.compute_bvse(crystal)
    assert " × ".join(map(str, grid.shape)) in text_of(grid._repr_html_())
    barriers = fastin.compute_barriers(grid)
    assert f"{barriers.e3d:.3f}" in text_of(barriers._repr_html_())
    paths = fastin.compute_paths(crystal)
    assert f"{paths.barrier_forward[0]:.3f}" in text_of(paths._repr_html_())


def test_prediction():
    from fastin.prediction import Prediction

    result = Prediction("x", "Li2O", "Li+", 0.3, 0.1, (0.3, 0.4, float("inf")), (0.1, 0.1, 0.2), "default",
                        log10_conductivity=-4.5, log10_conductivity_std=0.5,
                        warnings=(fastin.CrystalWarning("outside-training", "outside"),))  # fmt: skip
    text = text_of(result._repr_html_())
    assert "0.300" in text
    assert "-4.50" in text
    assert "outside" in text
    assert "inf" not in text


def test_cells_are_escaped():
    assert "<script>" not in table("<script>", [("<script>",)], ("<script>",))
