"""Where a training step spends its time.

    python bench/experiments/ml_profile.py --dataset DIR --model in-gcn --threads 1

Batches of 64 over the whole set, round and round; medians of CPU time (of all threads) and wall time. `torch_cpu_ms`
is the step of the GCNs with torch's operations alone, alternating with it (`fastin.ml.pooled_gcn`). Shares are of the
wall time of a step: operators of torch, and the rest, which is the core and Python.
"""

from __future__ import annotations

import time

import numpy as np
import torch
from common import SETTINGS, arguments, start, write
from torch.profiler import ProfilerActivity, profile

from fastin.ml import pooled_gcn
from fastin.ml.data import TensorStore
from fastin.ml.dataset import load_dataset
from fastin.ml.labels import label_columns, to_targets
from fastin.ml.models import TopKGCN, build_model


def main() -> None:
    """Entry point."""
    parser = arguments(__doc__ or "")
    parser.add_argument("--model", default="in-gcn", choices=sorted(set(SETTINGS) - {"percolation-small-set"}))
    parser.add_argument("--steps", type=int, default=40)
    options = parser.parse_args()
    start(options)
    store = load_dataset(options.dataset)
    settings = SETTINGS[options.model]
    targets = settings.get("targets", ("e1d_global",))
    extra = {"target_names": list(targets)} if settings["model"] == "percolation" else {}
    model = build_model(settings["model"], len(targets), settings.get("model_options", {}) | extra)
    tensors = TensorStore(
        store,
        model.kind,
        to_targets(store.labels[:, label_columns(targets)]),
        "cpu",
        model.edge_margin,
        landscape=model.landscape,
    )
    order = np.random.default_rng(0).permutation(len(store))
    size = 64
    model.fit_normalisation(tensors.batch(order[:512]))
    optimizer = torch.optim.Adam(model.parameters())

    def step(i: int) -> float:
        begin, cpu = time.perf_counter(), time.process_time()
        batch = tensors.batch(np.take(order, range(i * size, (i + 1) * size), mode="wrap"))
        made = time.process_time()
        loss = model.training_loss(batch)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        steps.append((made - cpu, time.process_time() - cpu, time.perf_counter() - begin))
        return float(loss.detach())

    steps: list[tuple[float, float, float]] = []
    in_core = pooled_gcn.applies
    for i in range(options.steps):
        step(i)
        pooled_gcn.applies = lambda *_: False
        step(i)
        pooled_gcn.applies = in_core
    batching, cpu, whole = np.median(np.array(steps[6::2]), axis=0)
    plain = float(np.median(np.array(steps[7::2])[:, 1]))
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        begin = time.perf_counter()
        for i in range(options.steps):
            step(i)
        wall = time.perf_counter() - begin
    rows = sorted(seen.key_averages(), key=lambda row: -row.self_cpu_time_total)
    # Rows of our own gradients (names with an underscore) are the Python between the operators that they call.
    of_torch = sum(row.self_cpu_time_total for row in rows if not row.key.startswith("_"))
    shares = {row.key: round(row.self_cpu_time_total / 1e6 / wall, 3) for row in rows[:12]}
    content = {
        "model": options.model,
        "batch_size": size,
        "step_cpu_ms": round(1e3 * float(cpu), 1),
        "torch_cpu_ms": round(1e3 * plain, 1) if isinstance(model, TopKGCN) else None,
        "step_ms": round(1e3 * float(whole), 1),
        "batching_ms": round(1e3 * float(batching), 1),
        "epoch_cpu_s_of_11000": round(11_000 / size * float(cpu), 1),
        "share_of_operators": round(of_torch / 1e6 / wall, 3),
        "largest": shares,
    }
    for key, value in content.items():
        print(f"{key}: {value}")
    write(f"ml_profile_{options.model}", options, content)


if __name__ == "__main__":
    main()
