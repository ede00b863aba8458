"""(e): what a prediction costs against the exact BVSE barrier, per structure, in CPU time of one thread.

python bench/experiments/ml_timing.py --dataset DIR --cifs li_mp_ordered.jsonl.gz --structures 100
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

from common import arguments, start, write

import fastin
from fastin.ml.dataset import read_sources
from fastin.ml.predictor import graphs_of
from fastin.ml.store import GraphStore
from fastin.prediction import load_predictor


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--cifs", required=True)
    parser.add_argument("--structures", type=int, default=100)
    parser.add_argument("--ion", default="Li")
    parser.add_argument("--model", default="default")
    options = parser.parse_args()
    options.threads = options.threads or 1
    start(options)
    fastin.set_num_threads(1)
    trained = load_predictor(options.model, "cpu")
    every = list(read_sources([options.cifs]))
    spent: dict[str, list[float]] = {}

    def timed(name: str, call: Callable[[], Any]) -> Any:
        begin = time.process_time()
        out = call()
        spent.setdefault(name, []).append(1e3 * (time.process_time() - begin))
        return out

    entries = []
    for source in every[:: max(1, len(every) // options.structures)][: options.structures]:
        try:
            crystal = timed("crystal", lambda s=source: fastin.Crystal.from_cif_string(s.cif, source=s.id))
            grid = timed("bvse_grid", lambda c=crystal: fastin.compute_bvse(c, options.ion))
            timed("barriers", lambda g=grid: fastin.compute_barriers(g))
            entries.append(timed("network_and_graph", lambda c=crystal: graphs_of(c, options.ion, crystals=False)))
        except fastin.FastinError:
            continue
        one = GraphStore.from_entries(entries[-1:])
        timed("model_single", lambda s=one: trained.predict(s))
    store = GraphStore.from_entries(entries)
    begin = time.process_time()
    trained.predict(store)
    batched = 1e3 * (time.process_time() - begin) / len(store)
    rows = {k: {"median_ms": statistics.median(v), "mean_ms": statistics.fmean(v)} for k, v in spent.items()}
    write("ml_timing", options, {"structures": len(store), "cpu_time": rows, "model_batched_ms": batched})
    for name, row in rows.items():
        print(f"{name:20s} median {row['median_ms']:8.2f} ms, mean {row['mean_ms']:8.2f} ms")
    print(f"model, in one batch: {batched:.2f} ms a structure")


if __name__ == "__main__":
    main()
