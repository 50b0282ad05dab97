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

from kaf.data.folder import Case, scan_folder
from kaf.data.splits import k_folds
from kaf.evaluation.dice import dice, overlap, pooled_dice
from kaf.imaging.volume import read_labels
from kaf.runtime.events import Event, Message, Metric
from kaf.settings.finetune import FinetuneSettings
from kaf.settings.segment import SegmentSettings
from kaf.verbs.finetune import finetune
from kaf.verbs.segment import segment


def tell(event: Event) -> None:
    if isinstance(event, Message) or (isinstance(event, Metric) and event.step % 100 == 0):
        print(event, flush=True)


def run_fold(recipes: list[dict], data: Path, folder: Path, train: list[str], threads: int) -> Path:
    """One run after another, each from the weights of the one before; the model of the last."""
    model = None
    for number, recipe in enumerate(recipes):
        run = folder if number == 0 else folder.with_name(f"{folder.name}-stage{number + 1}")
        values = {**recipe, "data": str(data), "output": str(run), "cases": train, "threads": threads,
                  "init_from": str(model or "")}
        model = run / "model.safetensors"
        if not model.is_file():
            finetune(FinetuneSettings(**values, resume=run.is_dir()), tell)
    assert model is not None
    return model


def score(model: Path, cases: list[Case], settings: SegmentSettings) -> list[dict]:
    """One row per case: intersections and sizes of every label on the grid of the file."""
    cache: dict = {}
    rows = []
    for case in cases:
        result = segment(case.image, settings, cache=cache)
        inside, sizes = overlap(result.labels.voxels, read_labels(case.label).voxels, len(result.card.labels) + 1)
        rows.append({"case": case.name, "inside": inside.tolist(), "sizes": sizes.tolist()})
    return rows


def summarise(rows: list[dict], protocol: str) -> dict:
    inside, sizes = [row["inside"] for row in rows], [row["sizes"] for row in rows]
    scores = dice(inside, sizes)
    return {
        "protocol": protocol, "cases": len(rows), "Dice": round(float(np.nanmean(scores)), 4),
        "Dice per label": np.nanmean(scores, 0).round(4).tolist(),
        "standard deviation over cases": round(float(np.nanstd(np.nanmean(scores, 1))), 4),
        "pooled Dice": round(float(np.nanmean(pooled_dice(inside, sizes))), 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--then", type=Path, nargs="*", default=[], help="recipes that go on from its weights")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--run", type=int, help="only the first folds (the protocol then says so)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--flips", action="store_true", help="average over mirrored copies")
    arguments = parser.parse_args()
    recipes = [json.loads(path.read_text()) for path in (arguments.recipe, *arguments.then)]
    cases = scan_folder(arguments.data).labelled
    folds = k_folds(sorted({case.patient for case in cases}), arguments.folds, arguments.seed)
    rows: list[dict] = []
    patients = 0
    for index, (train, test) in enumerate(folds[:arguments.run]):
        model = run_fold(recipes, arguments.data, arguments.output / f"fold{index}", list(train), arguments.threads)
        settings = SegmentSettings(model=str(model), threads=arguments.threads, flips=arguments.flips)
        rows += score(model, [case for case in cases if case.patient in set(test)], settings)
        patients += len(test)
        done = "all folds" if index + 1 == arguments.folds else f"folds 1 to {index + 1} only"
        flips = ", averaged over mirrored copies" if arguments.flips else ""
        summary = summarise(rows, f"{arguments.folds}-fold cross-validation by patient (seed {arguments.seed}), "
                            f"{done}: {patients} patients; last averaged weights; Dice per volume on the grid of its "
                            f"file, all slices{flips}")
        (arguments.output / "cross-validation.json").write_text(json.dumps({**summary, "rows": rows}, indent=1) + "\n")
        print(summary, flush=True)


if __name__ == "__main__":
    main()
