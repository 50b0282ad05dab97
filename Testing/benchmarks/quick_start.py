"""The README's quick start, measured: ten labelled cases, five minutes, Dice on fifty other cases.

    .venv/bin/python Testing/benchmarks/quick_start.py ../shared/data/msd_hippocampus
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from kaf.data.folder import scan_folder
from kaf.data.splits import few_shot
from kaf.evaluation.dice import dice, overlap
from kaf.imaging.volume import read_labels
from kaf.settings.segment import SegmentSettings
from kaf.verbs.segment import segment


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--cases", type=int, default=10)
    parser.add_argument("--others", type=int, default=50)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    cases = {case.patient: case for case in scan_folder(arguments.data).labelled}
    drawn = few_shot(list(cases), arguments.cases + arguments.others, arguments.seed)
    train, test = drawn[:arguments.cases], drawn[arguments.cases:]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for kind in ("images", "labels"):
            (folder / "cases" / kind).mkdir(parents=True)
        for patient in train:
            case = cases[patient]
            shutil.copy(case.image, folder / "cases" / "images" / case.image.name)
            shutil.copy(case.label, folder / "cases" / "labels" / case.label.name)
        command = [sys.executable, "-m", "kaf", "finetune", str(folder / "cases"), "--output", str(folder / "run"),
                   "--minutes", str(arguments.minutes)]
        print("$ kaf", *command[3:])
        subprocess.run(command, check=True)
        settings = SegmentSettings(model=str(folder / "run" / "model.safetensors"))
        cache: dict = {}
        scores = []
        for patient in test:
            result = segment(cases[patient].image, settings, cache=cache)
            truth = read_labels(cases[patient].label).voxels
            scores.append(dice(*overlap(result.labels.voxels, truth, len(result.card.labels) + 1)))
        plan = json.loads((folder / "run" / "plan.json").read_text())
    print(f"plan: {plan['slicing_axis']}, {plan['spacing']:g} mm, patch {plan['patch']}")
    print(f"mean Dice over {len(test)} other cases: {np.nanmean(scores):.3f}, "
          f"per label {np.nanmean(scores, 0).round(3)}")


if __name__ == "__main__":
    main()
