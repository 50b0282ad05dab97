"""What an experiment is made of: pretrainings and cells, in order, where each is kept, and those that are there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kaf.evaluation.comparison import Cell
from kaf.runtime import json_files
from kaf.settings.compare import ArmSettings, CompareSettings

RESULT = "result.json"


@dataclass(frozen=True)
class PretrainingPlan:
    """One pretraining of an arm; arms that differ in their fine-tuning alone (``+unlabelled``) share it."""

    arm: str
    fold: int
    seed: int = 0

    @property
    def folder(self) -> str:
        """The arm in whose folder it is."""
        return self.arm.removesuffix("+unlabelled")

    @property
    def name(self) -> str:
        return f"pretraining-fold{self.fold}" + (f"-seed{self.seed}" if self.seed else "")


@dataclass(frozen=True)
class CellPlan:
    """One fine-tuned network that is to be made."""

    arm: str
    few_shot: int
    draw: int
    fold: int
    seed: int = 0

    @property
    def name(self) -> str:
        return f"m{self.few_shot}-draw{self.draw}-fold{self.fold}" + (f"-seed{self.seed}" if self.seed else "")

    @property
    def pretraining(self) -> PretrainingPlan:
        """What it starts from, if its arm is pretrained."""
        return PretrainingPlan(self.arm, self.fold, self.seed)


def planned_cells(settings: CompareSettings) -> list[CellPlan]:
    """All cells, in the order in which they are made."""
    return [CellPlan(arm, m, draw, fold, seed) for m in sorted(settings.few_shot, reverse=True)
            for seed in range(settings.seeds) for draw in range(settings.draws) for fold in settings.tested_folds
            for arm in settings.names]


def planned_pretrainings(settings: CompareSettings, arms: Mapping[str, ArmSettings]) -> list[PretrainingPlan]:
    """All pretrainings, each once."""
    found = {(plan.folder, plan.name): plan for seed in range(settings.seeds) for fold in settings.tested_folds
             for arm in settings.names if arms[arm].pretrain is not None
             for plan in [PretrainingPlan(arm, fold, seed)]}
    return list(found.values())


def file_name(arm: str) -> str:
    """The folder of an arm."""
    return "".join(c if c.isalnum() or c in "+-._" else "_" for c in arm)


def finished_cells(output: Path, plans: Sequence[CellPlan]) -> Iterator[Cell]:
    """The cells that have been tested."""
    for plan in plans:
        path = output / file_name(plan.arm) / plan.name / RESULT
        if path.is_file():
            result = json_files.read(path)
            place = (plan.few_shot, plan.draw, plan.fold)
            yield Cell(plan.arm, *place, tuple(result["cases"]), plan.seed)
            if "best" in result:
                yield Cell(best_of(plan.arm), *place, tuple(result["best"]), plan.seed)


def best_of(arm: str) -> str:
    """What the network of an arm that was best on the test patients during training is called."""
    return f"{arm} (best on test)"
