"""A new user's own data, measured: a few cases, a few minutes, default settings, Dice on other cases; beside it a plain
MONAI BasicUNet with class-balanced patches that is trained for the same processor time.

    .venv/bin/python Testing/benchmarks/own_data.py ../shared/data/openkbp_ct/volumes --train 12 --minutes 6
    .venv/bin/python Testing/benchmarks/own_data.py ../shared/data/emidec_lge --train 10 --test 40 --minutes 6

One thread each (``--threads``); the seconds are processor seconds of all processes and threads of a training, its
preparation included, so that another load on the computer changes little.  A structure that a reference does not hold
was not contoured and does not count.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from kaf.data.folder import Case, scan_folder
from kaf.data.splits import few_shot
from kaf.evaluation.dice import dice, overlap
from kaf.imaging.volume import read_labels, read_volume
from kaf.settings.segment import SegmentSettings
from kaf.verbs.segment import segment


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--train", type=int, default=12, help="labelled cases to train on")
    parser.add_argument("--test", type=int, default=16, help="other cases to test on")
    parser.add_argument("--minutes", type=float, default=6, help="of processor time")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=("kaf", "rival"), help="one of the two; the rival then takes the minutes")
    parser.add_argument("--set", nargs="*", default=[], metavar="--FLAG", help="more flags of kaf finetune")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    torch.set_num_threads(options.threads)
    cases = {case.patient: case for case in scan_folder(options.data).labelled}
    drawn = few_shot(list(cases), options.train + options.test, options.seed)
    train, test = ([cases[name] for name in names] for names in (drawn[:options.train], drawn[options.train:]))
    seconds = 60 * options.minutes
    if options.only != "rival":
        seconds = _kaf(train, test, options)
    if options.only != "kaf":
        _rival(train, test, seconds, options.seed)


def _kaf(train: Sequence[Case], test: Sequence[Case], options: argparse.Namespace) -> float:
    """Default fine-tuning; the processor seconds that it took."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for kind in ("images", "labels"):
            (folder / "cases" / kind).mkdir(parents=True)
        for case in train:
            assert case.label is not None
            shutil.copy(case.image, folder / "cases" / "images" / case.image.name)
            shutil.copy(case.label, folder / "cases" / "labels" / case.image.name)
        command = [sys.executable, "-m", "kaf", "finetune", str(folder / "cases"), "--output", str(folder / "run"),
                   "--minutes", str(options.minutes), "--threads", str(options.threads), "--device", "cpu",
                   "--cache", str(folder / "cache"), *options.set]
        print("$ kaf", *command[3:], flush=True)
        before = _children()
        subprocess.run(command, check=True)
        seconds = _children() - before
        settings = SegmentSettings(model=str(folder / "run" / "model.safetensors"), device="cpu",
                                   threads=options.threads)
        cache: dict = {}
        found = [segment(case.image, settings, cache=cache).labels.voxels for case in test]
        plan = json.loads((folder / "run" / "plan.json").read_text())
    print(f"plan: {plan['slicing_axis']}, {plan['spacing']:.3g} mm, patch {plan['patch']}, window or percentiles "
          f"{plan['normalisation']['low']:g} to {plan['normalisation']['high']:g}")
    _tell("kaf finetune", seconds, found, test)
    return seconds


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _tell(name: str, seconds: float, found: Sequence[np.ndarray], test: Sequence[Case]) -> None:
    rows = []
    truths = [read_labels(case.label).voxels for case in test if case.label is not None]
    classes = max(int(truth.max()) for truth in truths) + 1
    for labels, truth in zip(found, truths, strict=True):
        scores = np.array(dice(*overlap(labels, truth, classes)), float)
        there = np.array([(truth == value).any() for value in range(1, classes)])
        rows.append(np.where(there, np.nan_to_num(scores), np.nan))
    each = np.nanmean(rows, axis=0)
    print(f"{name}: {seconds:.0f} processor seconds, mean Dice {np.nanmean(rows):.3f}, per structure "
          f"{' '.join(f'{value:.2f}' for value in each)}, missed {int((np.array(rows) == 0).sum())} of "
          f"{int(np.isfinite(rows).sum())}", flush=True)


def _rival(train: Sequence[Case], test: Sequence[Case], seconds: float, seed: int) -> None:
    """MONAI's BasicUNet, slices along the last stored axis, patches balanced over the structures, Dice and
    cross-entropy, AdamW with one cosine: what a colleague would write in an afternoon."""
    from monai.losses import DiceCELoss
    from monai.networks.nets import BasicUNet

    begin = time.process_time()
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    pairs = []
    for case in train:
        assert case.label is not None
        pairs.append((read_volume(case.image).voxels.astype(np.float32), read_labels(case.label).voxels))
    inside = np.concatenate([image[labels > 0] for image, labels in pairs])
    low, high = np.percentile(inside, [0.5, 99.5])

    def standard(image: np.ndarray) -> np.ndarray:
        return (np.clip(image, low, high) - inside.mean()) / inside.std()

    pairs = [(standard(image).astype(np.float32), labels) for image, labels in pairs]
    classes = max(int(labels.max()) for _, labels in pairs) + 1
    slices = {value: [(n, s) for n, (_, labels) in enumerate(pairs) for s in range(len(labels))
                      if (labels[s] == value).any()] for value in range(1, classes)}
    values = [value for value in slices if slices[value]]
    size = 64

    def patch() -> tuple[np.ndarray, np.ndarray]:
        places = slices[values[rng.integers(len(values))]]
        n, s = places[rng.integers(len(places))]
        image, labels = pairs[n][0][s], pairs[n][1][s]
        marked = np.argwhere(labels > 0)
        row, column = marked[rng.integers(len(marked))] + rng.integers(-size // 4, size // 4 + 1, 2) + size
        cut = tuple(slice(int(at) - size // 2, int(at) + size // 2) for at in (row, column))
        return (np.pad(image, size, constant_values=image.min())[cut], np.pad(labels, size)[cut])

    network = BasicUNet(2, 1, classes, features=(32, 32, 64, 128, 256, 32))
    loss_of = DiceCELoss(to_onehot_y=True, softmax=True, batch=True, include_background=False)
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-3)
    network.train()
    steps = 0
    while (used := time.process_time() - begin) < seconds:
        for group in optimiser.param_groups:
            group["lr"] = 1e-3 * 0.5 * (1 + np.cos(np.pi * used / seconds)) + 1e-6
        images, labels = zip(*(patch() for _ in range(8)), strict=True)
        optimiser.zero_grad()
        loss_of(network(torch.from_numpy(np.stack(images))[:, None]),
                torch.from_numpy(np.stack(labels).astype(np.int64))[:, None]).backward()
        optimiser.step()
        steps += 1
    network.eval()
    found = []
    with torch.inference_mode():
        for case in test:
            image = torch.from_numpy(standard(read_volume(case.image).voxels).astype(np.float32))[:, None]
            fill = [-n % 16 for n in image.shape[2:]]
            padded = torch.nn.functional.pad(image, (0, fill[1], 0, fill[0]), value=float(image.min()))
            parts = [network(part).argmax(1) for part in padded.split(16)]
            found.append(torch.cat(parts)[:, :image.shape[2], :image.shape[3]].numpy().astype(np.uint8))
    _tell(f"MONAI BasicUNet, {steps} steps", seconds, found, test)


if __name__ == "__main__":
    main()
