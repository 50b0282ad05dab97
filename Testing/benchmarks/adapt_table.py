"""What three slices are worth: corrections and structures from nothing, on volumes the model has not seen.

    .venv/bin/python Testing/benchmarks/adapt_table.py --seconds 40

Uses the networks of ``cross_validate.py``: each volume is adapted with the network of the fold that left it out.
Three slices are taken from the reference, spread evenly over the slices that hold a structure; Dice is measured over
all other slices of the volume.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np

from kaf.data.folder import Case, scan_folder
from kaf.data.splits import k_folds
from kaf.evaluation.dice import dice, overlap
from kaf.imaging.grid import canonical_grid
from kaf.imaging.volume import Volume, read_labels, read_volume
from kaf.settings.adapt import AdaptSettings
from kaf.settings.segment import SegmentSettings
from kaf.verbs.adapt import adapt
from kaf.verbs.segment import segment

# (name, data, cross-validation whose networks are used, label kept as 1 (None: all), names of a new structure)
EXPERIMENTS = (
    ("correct heart", "acdc", "cv-cardiac", None, {}),
    ("correct hippocampus", "msd_hippocampus", "cv-hippo", None, {}),
    ("LV from nothing, heart weights", "acdc", "cv-cardiac", 3, {1: "LV"}),
    ("LV from nothing, hippocampus weights", "acdc", "cv-hippo", 3, {1: "LV"}),
    ("hippocampus from nothing, own weights", "msd_hippocampus", "cv-hippo", (1, 2), {1: "hippocampus"}),
    ("hippocampus from nothing, heart weights", "msd_hippocampus", "cv-cardiac", (1, 2), {1: "hippocampus"}),
)


def stored_slices(volume: Volume, truth: np.ndarray, axis_name: str, count: int) -> tuple[int, list[int]]:
    """The slicing axis in the array, and ``count`` of its slices spread over those that hold a structure."""
    axis = canonical_grid(volume.shape, volume.affine, None, axis_name).order[0]
    held = np.flatnonzero(truth.any(axis=tuple(a for a in range(3) if a != axis)))
    return axis, [int(held[round(place)]) for place in np.linspace(0, len(held) - 1, count + 2)[1:-1]]


def mean_dice(prediction: np.ndarray, truth: np.ndarray, axis: int, used: list[int], classes: int) -> float:
    keep = [index for index in range(truth.shape[axis]) if index not in used]
    return float(np.nanmean(dice(*overlap(np.take(prediction, keep, axis), np.take(truth, keep, axis), classes))))


def last_stage(runs: Path, fold: int) -> Path:
    """The model of a fold, of its last stage where there are several."""
    return sorted(runs.glob(f"fold{fold}*/model.safetensors"))[-1]


def run(case: Case, model: Path, keep: object, names: dict[int, str], seconds: float, threads: int) -> dict:
    from kaf.modelfile.card import read_card

    volume, truth = read_volume(case.image), read_labels(case.label).voxels
    if keep is not None:
        truth = np.isin(truth, keep).astype(np.uint8)
    card = read_card(model)
    axis, used = stored_slices(volume, truth, card.slicing_axis, 3)
    drawn = np.zeros_like(truth)
    np.moveaxis(drawn, axis, 0)[used] = np.moveaxis(truth, axis, 0)[used]
    classes = 1 + (len(names) or len(card.labels))
    before = float("nan")
    if not names:
        base = segment(volume, SegmentSettings(model=str(model), threads=threads)).labels.voxels
        before = mean_dice(base, truth, axis, used, classes)
    start = time.monotonic()
    settings = AdaptSettings(model=str(model), slices=tuple(used), labels=names, seconds=seconds, threads=threads)
    result = adapt(volume, Volume(drawn, volume.affine), settings).segmentation.labels.voxels
    took = time.monotonic() - start
    return {"case": case.name, "before": before, "after": mean_dice(result, truth, axis, used, classes),
            "seconds": round(took, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(__file__).resolve().parents[3] / "shared" / "data")
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--seconds", type=float, default=40)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--volumes", type=int, default=10, help="per experiment")
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--only", type=int, nargs="*", help="numbers of experiments")
    arguments = parser.parse_args()
    table = {}
    for number, (name, data, runs, keep, names) in enumerate(EXPERIMENTS):
        if arguments.only is not None and number not in arguments.only:
            continue
        folder = arguments.data / data
        cases = scan_folder(folder).labelled
        folds = k_folds(sorted({case.patient for case in cases}), arguments.folds, 0)
        done = [index for index in range(arguments.folds)
                if (arguments.runs / runs / f"fold{index}" / "model.safetensors").is_file()]
        rows = []
        for place in range(arguments.volumes):
            fold = done[place % len(done)]
            own = (runs == "cv-cardiac") == (data == "acdc")
            test = sorted(folds[fold][1]) if own else sorted({case.patient for case in cases})
            patient = test[(7 * place) % len(test)]
            case = next(case for case in cases if case.patient == patient)
            model = last_stage(arguments.runs / runs, fold)
            rows.append(run(case, model, keep, names, arguments.seconds, arguments.threads))
            print(name, rows[-1], flush=True)
        gain = [row["after"] - row["before"] for row in rows]
        table[name] = {"before": float(np.mean([row["before"] for row in rows])),
                       "after": float(np.mean([row["after"] for row in rows])), "worst change": float(np.min(gain)),
                       "slowest": max(row["seconds"] for row in rows), "volumes": len(rows)}
        print(name, table[name], flush=True)
    print(json.dumps(table, indent=1))


if __name__ == "__main__":
    main()
