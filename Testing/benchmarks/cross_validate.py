"""Cross-validation of a recipe by patient: every patient is segmented by a network that has not seen them.

    .venv/bin/python Testing/benchmarks/cross_validate.py KAFSegmentation/kaf/recipes/cardiac-mr-sax.json \
        ../shared/data/acdc runs/cv-cardiac --folds 3

Each fold is a run of ``finetune`` (resumed if it was stopped) and then a run of ``segment`` on the original
files, compared with the references on their own grid.  Writes ``cross-validation.json`` in the output folder.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from kaf.data.folder import scan_folder
from kaf.data.splits import k_folds
from kaf.events import Event, Message, Metric
from kaf.finetune import finetune
from kaf.segment import segment
from kaf.settings import FinetuneSettings, SegmentSettings
from kaf.training.validate import overlap
from kaf.volume import read_labels


def tell(event: Event) -> None:
    if isinstance(event, Message) or (isinstance(event, Metric) and event.step % 100 == 0):
        print(event, flush=True)


def run_fold(recipe: dict, data: Path, folder: Path, train: list[str], threads: int) -> Path:
    model = folder / "model.safetensors"
    if not model.is_file():
        values = {**recipe, "data": str(data), "output": str(folder), "cases": train, "threads": threads}
        finetune(FinetuneSettings(**values, resume=folder.is_dir()), tell)
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--flips", action="store_true", help="average over mirrored copies")
    arguments = parser.parse_args()
    recipe = json.loads(arguments.recipe.read_text())
    cases = scan_folder(arguments.data).labelled
    folds = k_folds(sorted({case.patient for case in cases}), arguments.folds, arguments.seed)
    rows, common, total = [], [], []
    for index, (train, test) in enumerate(folds):
        model = run_fold(recipe, arguments.data, arguments.output / f"fold{index}", list(train), arguments.threads)
        settings = SegmentSettings(model=str(model), threads=arguments.threads, flips=arguments.flips)
        cache: dict = {}
        for case in (case for case in cases if case.patient in set(test)):
            result = segment(case.image, settings, cache=cache)
            reference = read_labels(case.label).voxels
            a, b = overlap(result.labels.voxels, reference, len(result.card.labels) + 1)
            common.append(a)
            total.append(b)
            dice = np.where(b > 0, 2 * a / np.maximum(b, 1), np.nan)
            rows.append({"case": case.name, "fold": index, "Dice": [round(float(d), 4) for d in dice]})
        print(f"fold {index}: mean Dice so far {np.nanmean([row['Dice'] for row in rows]):.4f}", flush=True)
    table = np.array([row["Dice"] for row in rows], float)
    pooled = 2 * np.sum(common, 0) / np.sum(total, 0)
    summary = {
        "protocol": f"{arguments.folds}-fold cross-validation by patient (seed {arguments.seed}), last averaged "
                    "weights, per-volume Dice on the original grid, all slices",
        "cases": len(rows), "patients": len({case.patient for case in cases}), "flips": arguments.flips,
        "Dice": round(float(np.nanmean(table)), 4), "Dice per label": np.nanmean(table, 0).round(4).tolist(),
        "standard deviation over cases": round(float(np.nanstd(np.nanmean(table, 1))), 4),
        "pooled Dice": round(float(pooled.mean()), 4), "rows": rows,
    }
    (arguments.output / "cross-validation.json").write_text(json.dumps(summary, indent=1) + "\n")
    print({key: value for key, value in summary.items() if key != "rows"})


if __name__ == "__main__":
    main()
