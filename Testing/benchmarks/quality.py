"""Predicted quality against the truth: correlation, AUROC, error and coverage, within a set and from another one.

    .venv/bin/python Testing/benchmarks/quality.py cardiac-mr-sax ../shared/data/sunnybrook_lv --match 1=3 \
        --title "cardiac-mr-sax on Sunnybrook" --output runs/quality/sunnybrook.json
    .venv/bin/python Testing/benchmarks/quality.py runs/cv-cardiac/fold0/model.safetensors ../shared/data/acdc \
        --fold 0 --folds 5 --title "held-out ACDC" --output runs/quality/acdc.json \
        --across runs/quality/sunnybrook-fold.json

The first call segments every labelled case once and keeps raw expected and true Dice per structure, per slice, and the
distance from the training set.  Lines are fitted without the patient that they are applied to ("own"), or on all cases
of another file of this benchmark ("across").  With ``--fold`` only the patients that this fold of the cross-validation
holds out are looked at.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path

import numpy as np

from kaf.data.folder import scan_folder
from kaf.data.splits import k_folds
from kaf.evaluation.dice import dice, overlap
from kaf.evaluation.predicted import agreement, auroc
from kaf.imaging.grid import canonical_grid
from kaf.imaging.volume import read_labels
from kaf.inference.loaded_model import load_for_inference
from kaf.modelfile.card import read_card
from kaf.modelfile.library import find_model
from kaf.quality.calibration import Outcome, calibrate
from kaf.quality.familiarity import distance, training_statistics
from kaf.quality.prediction import PredictedDice, predict, widening
from kaf.quality.store import write_quality
from kaf.settings.segment import SegmentSettings
from kaf.verbs.segment import segment

TRAINING = 40
POOR_SLICE = 0.70


def look(arguments: argparse.Namespace) -> dict:
    """Segment the cases, and those of the training set for their statistics."""
    settings = SegmentSettings(model=arguments.model, threads=arguments.threads)
    match = {int(a): int(b) for a, b in (pair.split("=") for pair in arguments.match)}
    cases = scan_folder(arguments.data).labelled
    training = scan_folder(arguments.training or arguments.data).cases
    if arguments.fold is not None:
        kept, out = k_folds(sorted({case.patient for case in cases}), arguments.folds, 0)[arguments.fold]
        cases = [case for case in cases if case.patient in set(out)]
        if not arguments.training:
            training = [case for case in training if case.patient in set(kept)]
    card, cache = read_card(find_model(arguments.model)), {}
    model = load_for_inference(settings, settings.model)
    statistics = (model.quality or {}).get("training")
    if not statistics:
        chosen = [training[i] for i in sorted({int(n) for n in np.linspace(0, len(training) - 1, TRAINING)})]
        statistics = training_statistics([segment(case.image, settings, cache=cache).scan for case in chosen])
    rows, slices = [], []
    for case in cases:
        result = segment(case.image, settings, cache=cache)
        drawn = read_labels(case.label).voxels
        truth = np.zeros_like(drawn)
        for value in card.label_names:
            for reference, own in (match or {value: value}).items():
                if own == value:
                    truth[drawn == reference] = value
        wanted = sorted(set(match.values()) or set(card.label_names))
        found = np.where(np.isin(result.labels.voxels, wanted), result.labels.voxels, 0)
        scores = dice(*overlap(found, truth, len(card.label_names) + 1))
        raw = result.expected.by_class()
        far = distance(statistics, result.scan)[0]
        rows += [{"case": case.name, "patient": case.patient, "label": value, "raw": float(raw[value]),
                  "dice": float(scores[value - 1]), "distance": far} for value in wanted]
        grid = canonical_grid(truth.shape, result.labels.affine, card.spacing, card.slicing_axis)
        drawn_slices, found_slices = (np.moveaxis(one, grid.order[0], 0) for one in (truth, found))
        for index, values in result.quality.slices:
            one = dice(*overlap(found_slices[index], drawn_slices[index], len(card.label_names) + 1))
            slices += [{"raw": values[name], "dice": float(one[value - 1])}
                       for value, name in card.label_names.items() if value in wanted and name in values]
    return {"title": arguments.title or arguments.data, "model": card.name, "labels": card.label_names, "rows": rows,
            "slices": slices, "training": statistics}


def ship(arguments: argparse.Namespace, found: dict) -> None:
    """The lines of this run, with the statistics of the training scans as the shipped weights see them."""
    path = find_model(arguments.ship)
    card, cache = read_card(path), {}
    settings = SegmentSettings(model=str(path), threads=arguments.threads)
    cases = scan_folder(arguments.data).cases
    chosen = [cases[i] for i in sorted({int(n) for n in np.linspace(0, len(cases) - 1, TRAINING)})]
    statistics = training_statistics([segment(case.image, settings, cache=cache).scan for case in chosen])
    made = {**calibrate(outcomes_of(found["rows"]), arguments.source), "training": statistics}
    target = path.with_name(f"{path.name.removesuffix('.safetensors')}.quality.json")
    write_quality(target, card, made, overwrite=True)
    print(f"written: {target}")


def outcomes_of(rows: list[dict]) -> list[Outcome]:
    return [Outcome(row["label"], row["patient"], row["raw"], row["dice"], row["distance"]) for row in rows]


def predictions(rows: list[dict], others: list[dict] | None) -> list[tuple[int, PredictedDice, float]]:
    """(label, prediction, true Dice) of every row; lines from ``others``, or from the other patients of the set."""
    made = []
    for patient in sorted({row["patient"] for row in rows}):
        quality = calibrate(outcomes_of(others or [row for row in rows if row["patient"] != patient]), "")
        lines = {line["label"]: line for line in quality["lines"]}
        for row in rows:
            if row["patient"] == patient and row["label"] in lines:
                wider = widening(row["distance"], quality["usual_distance"])
                made.append((row["label"], predict(row["raw"], lines[row["label"]], wider), row["dice"]))
    return made


def table(found: dict, others: dict | None) -> list[str]:
    names = {int(value): name for value, name in found["labels"].items()}
    made = predictions(found["rows"], others and others["rows"])
    lines = []
    for value in [*sorted({label for label, _, _ in made}), None]:
        pairs = [(one, true) for label, one, true in made if value in (None, label)]
        one = agreement(names.get(value, "all"), pairs)
        words = [sum(p.word == word for p, _ in pairs) for word in ("good", "check", "doubtful")]
        missed = sum(true < 0.75 and p.word == "good" for p, true in pairs if math.isfinite(true))
        lines.append(f"| {found['title']} | {others['title'] if others else 'own'} | {one.name} | {one.n} | "
                     f"{one.correlation:.2f} | {one.auroc:.3f} ({one.poor}) | {one.error:.3f} | {one.coverage:.2f} | "
                     f"{' / '.join(map(str, words))} | {missed} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("data")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--match", nargs="*", default=[])
    parser.add_argument("--training", default="", help="scans that the weights were trained on; default: those of DATA "
                                                       "that the fold trains on")
    parser.add_argument("--title", default="")
    parser.add_argument("--fold", type=int)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--across", type=Path, nargs="*", default=[], help="other files of this benchmark")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--ship", default="", help="write NAME.quality.json beside this model, which the same recipe "
                                                   "made from all cases, with the lines of this run")
    parser.add_argument("--source", default="", help="with --ship: what the cases are")
    arguments = parser.parse_args()
    if not arguments.output.is_file():
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        arguments.output.write_text(json.dumps(look(arguments)))
    found = json.loads(arguments.output.read_text())
    print("| cases | lines from | structure | n | r | AUROC below .80 (cases) | error | coverage of the 90 % bound | "
          "good / check / doubtful | Dice below .75 called good |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for others in [None, *(json.loads(path.read_text()) for path in arguments.across)]:
        print("\n".join(table(found, others)))
    raw, true = (np.array([row[key] for row in found["slices"]]) for key in ("raw", "dice"))
    sound = np.isfinite(raw) & np.isfinite(true)
    if sound.any():
        print(f"{sound.sum()} slices and structures: AUROC for a Dice below {POOR_SLICE:.2f} "
              f"{auroc(raw[sound], true[sound] < POOR_SLICE):.3f} ({(true[sound] < POOR_SLICE).sum()} below)")
    if arguments.ship:
        ship(arguments, found)


if __name__ == "__main__":
    main()
