"""(d): sensitivity of in-gcn to learning rate and batch size (the paper's Fig. 6).

python bench/experiments/ml_sensitivity.py --dataset DIR
"""

from __future__ import annotations

from typing import Any

from common import arguments, configure, run, start, write

from fastin.ml.dataset import load_dataset


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--model", default="in-gcn")
    parser.add_argument("--rates", nargs="+", type=float, default=[1e-4, 1e-3, 5e-3, 1e-2])
    parser.add_argument("--batches", nargs="+", type=int, default=[16, 32, 64, 128, 256])
    options = parser.parse_args()
    start(options)
    store = load_dataset(options.dataset)
    rows: list[dict[str, Any]] = []
    settings = [(rate, 64) for rate in options.rates] + [(1e-3, size) for size in options.batches if size != 64]
    for rate, size in settings:
        folder = f"{options.model}-rate{rate:g}-batch{size}"
        metrics = run(configure(options.model, options, folder, learning_rate=rate, batch_size=size), store)
        rows.append({"learning_rate": rate, "batch_size": size, "test": metrics["test"], "epochs": metrics["epochs"]})
        write("ml_sensitivity", options, {"model": options.model, "rows": rows})


if __name__ == "__main__":
    main()
