"""Cardiac function against the truth: beating phantoms, and pairs of end-diastole and end-systole with references.

    .venv/bin/python Testing/benchmarks/function.py cardiac-mr-sax --phantoms 20 --phases 8
    .venv/bin/python Testing/benchmarks/function.py runs/cv-cardiac/fold0/model.safetensors \
        --pairs ../shared/data/acdc --fold 0

Phantoms have seeds from 500, which no recipe trains on.  A pair is the first and the last frame of a patient; the
reference figures are those of the reference labels.  Ejection fraction in points, mass in grams: mean absolute error,
median, bias (found minus true), and the share of cases inside the range that is reported.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from kaf.data.folder import scan_folder
from kaf.data.splits import k_folds
from kaf.function.volumes import DENSITY
from kaf.imaging.cine import as_cine, read_cine
from kaf.imaging.volume import read_labels
from kaf.phantom.beating import beat
from kaf.settings.function import FunctionSettings
from kaf.verbs.function import function

FIRST_SEED = 500


def measured(cine, settings: FunctionSettings, truth: dict[str, float], cache: dict) -> dict:
    result = function(cine, settings, cache=cache)
    found = {f"{name} ef": one.ef for name, one in result.ventricles.items()}
    found["mass"] = result.mass_g["ED"]
    return {"phases": [result.phases.ed, result.phases.es], "warnings": list(result.warnings), "figures": {
        name: {"true": truth[name], "found": one.value, "low": one.low, "high": one.high}
        for name, one in found.items()}}


def phantoms(count: int, phases: int, settings: FunctionSettings) -> list[dict]:
    rows, cache = [], {}
    for seed in range(FIRST_SEED, FIRST_SEED + count):
        heart = beat(seed, phases, dense=2)
        truth = {"lv ef": heart.ef_lv, "rv ef": heart.ef_rv, "mass": DENSITY * float(heart.wall_ml[heart.ed])}
        row = measured(as_cine(heart.images), settings, truth, cache)
        rows.append({"case": f"phantom {seed}", "true phases": [heart.ed, heart.es], **row})
    return rows


def pairs(folder: Path, fold: int | None, folds: int, settings: FunctionSettings) -> list[dict]:
    cases = scan_folder(str(folder)).labelled
    patients = sorted({case.patient for case in cases})
    wanted = patients if fold is None else k_folds(patients, folds, 0)[fold][1]
    rows, cache = [], {}
    for patient in wanted:
        own = sorted((case for case in cases if case.patient == patient), key=lambda case: case.name)
        if len(own) < 2:
            continue
        drawn = [read_labels(case.label) for case in (own[0], own[-1])]
        voxel = float(np.prod(drawn[0].spacing)) / 1000
        ml = {value: [np.count_nonzero(one.voxels == value) * voxel for one in drawn] for value in (1, 2, 3)}
        ed, es = int(np.argmax(ml[3])), int(np.argmin(ml[3]))
        truth = {"lv ef": 100 * (1 - ml[3][es] / ml[3][ed]), "rv ef": 100 * (1 - ml[1][es] / ml[1][ed]),
                 "mass": DENSITY * ml[2][ed]}
        row = measured(read_cine(own[0].image, own[-1].image), settings, truth, cache)
        rows.append({"case": patient, "true phases": [ed, es], **row})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--phantoms", type=int, default=0)
    parser.add_argument("--phases", type=int, default=8)
    parser.add_argument("--pairs", type=Path)
    parser.add_argument("--fold", type=int)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--flips", action="store_true")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    settings = FunctionSettings(model=arguments.model, threads=arguments.threads, flips=arguments.flips)
    rows = phantoms(arguments.phantoms, arguments.phases, settings) if arguments.phantoms else []
    rows += pairs(arguments.pairs, arguments.fold, arguments.folds, settings) if arguments.pairs else []
    if arguments.output:
        arguments.output.write_text(json.dumps(rows, indent=1) + "\n")
    print("| figure | cases | mean error | median | bias | inside the range |\n|---|---|---|---|---|---|")
    for name in ("lv ef", "rv ef", "mass"):
        values = [row["figures"][name] for row in rows if name in row["figures"]]
        error = np.array([one["found"] - one["true"] for one in values])
        held = [one["low"] <= one["true"] <= one["high"] for one in values if one["low"] is not None]
        print(f"| {name} | {len(error)} | {np.abs(error).mean():.1f} | {np.median(np.abs(error)):.1f} | "
              f"{error.mean():+.1f} | {f'{sum(held)} of {len(held)}' if held else 'not calibrated'} |")
    away = [max(abs(a - b) for a, b in zip(row["phases"], row["true phases"], strict=True)) for row in rows]
    print(f"ED and ES within one phase: {sum(one <= 1 for one in away)} of {len(away)}")


if __name__ == "__main__":
    main()
