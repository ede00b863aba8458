"""(c): Li3N, Li7La3Zr2O12 and LiFePO4 held out of training, against BVSE and published values (Table 2).

python bench/experiments/ml_holdout.py --dataset DIR --model percolation   (its run in ml_compare.py, random split 0)
python bench/experiments/ml_holdout.py --dataset DIR --trained default    (a model whose card says they were held out)
"""

from __future__ import annotations

from pathlib import Path

from common import SETTINGS, arguments, configure, held_out, run, start, write

import fastin
from fastin.crystal.examples import examples
from fastin.ml.dataset import load_dataset
from fastin.prediction import load_shipped

#: The paper's Table 2: name -> (predicted by IN-GCN, BVSE), eV.
PUBLISHED = {"Li3N": (0.21, 0.21), "Li7La3Zr2O12_tetragonal": (0.39, 0.46), "LiFePO4": (0.38, 0.39)}


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--model", default="percolation", choices=sorted(SETTINGS))
    parser.add_argument("--trained", default="", help="shipped name or .pt file, instead of training one")
    options = parser.parse_args()
    start(options)
    store = load_dataset(options.dataset)
    held = held_out(store)
    if options.trained:
        card = load_shipped(options.trained, "cpu").card
        if not set(held) <= set(card["training"]["exclude"]):
            parser.error(f"{options.trained} was trained on some of these compounds")
        model, test = options.trained, card["test"]
    else:
        config = configure(options.model, options, f"{options.model}-random-0", exclude=held)
        model, test = str(Path(config.run) / "model.pt"), run(config, store)["test"]
    rows = {}
    for name, (predicted, bvse) in PUBLISHED.items():
        path = examples()[name]
        own = fastin.predict(path, "Li", model=model, experiment=False)
        rows[name] = {
            "predicted_ev": own.activation_energy,
            "predicted_std_ev": own.activation_energy_std,
            "bvse_ev": fastin.compute_barriers(path, "Li", zero="global").e1d,
            "published_prediction_ev": predicted,
            "published_bvse_ev": bvse,
        }
        print(name, rows[name])
    name = options.trained or options.model
    write("ml_holdout", options, {"model": name, "held_out": held, "rows": rows, "test": test})


if __name__ == "__main__":
    main()
