"""Trainings of a second: their command lines, what they end with, and run folders that were left in the middle."""

from __future__ import annotations

import shutil
from pathlib import Path

from campaigns.apart import Done, call, kaf
from campaigns.kills import inside
from campaigns.material import HERE, NETWORK, Material
from campaigns.verdicts import must, succeeded

STEPS, LEFT_AT = 6, 4
COMMON = ("--batch", "2", "--patch", "32", "--steps", str(STEPS), "--cache", "cache", *NETWORK, *HERE)
OFTEN = ("--checkpoint-every", "1e-6")
"""A checkpoint after every step."""


def finetune(material: Material, output: str, *more: str, **how: object) -> Done:
    """``kaf finetune`` on the labelled hearts."""
    return kaf("finetune", material.hearts, "--output", output, *COMMON, *more, **how)  # type: ignore[arg-type]


def pretrain(material: Material, output: str, *more: str, **how: object) -> Done:
    """``kaf pretrain`` on the unlabelled ones."""
    return kaf("pretrain", material.scans, "--output", output, "--method", "mae", *COMMON, *more,
               **how)  # type: ignore[arg-type]


def weights_of(run: Path) -> str:
    """The digest of the weights that a run ended with, after they were checked against it."""
    return call(_checked_digest, run / "model.safetensors")


def _checked_digest(path: Path) -> str:
    from kaf.modelfile.model import load_tensors

    return load_tensors(path)[0].digest


def leave_in_the_middle(material: Material, folder: Path) -> str:
    """A run folder ``run`` with two checkpoints that was left at step 4 of 6, and its cache; the digest of the
    weights that the whole run ends with."""
    with inside(folder):
        succeeded(finetune(material, "whole"))
        digest = weights_of(Path("whole"))
        shutil.rmtree("whole")
        done = finetune(material, "run", *OFTEN, before=_die_at_step)
        must(done.code == 9, f"the campaign failed: {done.err}")
    return digest


def _die_at_step() -> None:
    """The process ends without a word as soon as the checkpoint of step 4 is written."""
    import os

    from kaf.training import loop

    save = loop.save_checkpoint

    def save_and_die(folder: Path, step: int, *rest: object) -> Path:
        path = save(folder, step, *rest)  # type: ignore[arg-type]
        if step == LEFT_AT:
            os._exit(9)
        return path

    loop.save_checkpoint = save_and_die  # type: ignore[assignment]
