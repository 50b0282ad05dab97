"""Weights to start from and models to evaluate: those of finished runs, and those of the library."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import qt
from slicer.i18n import tr as _

from kaf.modelfile.card import Card, read_card
from kaf.runs.job_folder import read_json
from kaf.runtime.errors import ModelError

if TYPE_CHECKING:
    from kaf.modelfile.library import Entry
    from kaf.runs.job import Job


@dataclass(frozen=True)
class Weights:
    """A model file.

    Attributes:
        name: what folders of evaluations are named after: that of the model in the library, or "run" and the run's.
        run: the folder of the run that made it, or None.
        recipe: the settings of the pretraining that made it, or None.
    """

    name: str
    path: str
    card: Card
    run: Path | None = None
    recipe: dict[str, Any] | None = None

    @property
    def title(self) -> str:
        """The name as it is shown."""
        return self.name if self.run is None else _("run {name}").format(name=self.run.name)

    @property
    def segments(self) -> bool:
        """Whether it segments structures, or only gives features."""
        return bool(self.card.labels)


def findWeights(found: Iterable[Job], entries: Iterable[Entry]) -> list[Weights]:
    """Those of the runs that were found, the newest first, and those of the library."""
    weights = []
    for job in found:
        path = job.model
        if job.verb not in ("pretrain", "finetune") or path is None:
            continue
        try:
            card = read_card(path)
            recipe = None if card.labels else _recipe(job.folder)
            weights.append(Weights(f"run {job.folder.name}", str(path), card, job.folder, recipe))
        except ModelError:
            continue  # being written, or damaged: the run reports it
    return weights + [Weights(entry.name, str(entry.path), entry.card) for entry in entries]


def _recipe(folder):
    """The settings of a pretraining; None where its file is damaged."""
    values = read_json(folder / "settings.json")
    return values if isinstance(values.get("method"), str) else None


def modalityMismatch(weights: Weights | None, modality: str) -> str:
    """Why weights do not go with scans of this modality, reported before hours are spent; empty where they do. Only MR
    and CT are told apart."""
    if weights is None or {weights.card.modality, modality} != {"MR", "CT"}:
        return ""
    return _("The weights {name} were trained on {trained} scans, and these are {modality} scans. Choose other "
             "weights.").format(name=weights.title, trained=weights.card.modality, modality=modality)


class WeightsChoice:
    """A combo box of weights.

    Args:
        comboBox: the widget of the .ui file.
        none: the text of the entry that stands for no weights; without one there is no such entry.
        wanted: which weights are offered.
        onChosen: called when a person chooses.
    """

    def __init__(self, comboBox: qt.QComboBox, none: str = "", wanted: Callable[[Weights], bool] = lambda weights: True,
                 onChosen: Callable[[], None] = lambda: None):
        self._combo, self._none, self._wanted, self._onChosen = comboBox, none, wanted, onChosen
        self._weights, self._filling, self._isByHand = [], False, False
        comboBox.connect("currentIndexChanged(int)", self._onIndexChanged)

    def offer(self, weights: Iterable[Weights]) -> None:
        """Shows what there is now; what a person chose stays chosen, else it is the first: the newest run's."""
        before = self.chosen if self._isByHand else None
        self._weights = [None] * bool(self._none) + [item for item in weights if self._wanted(item)]
        self._filling = True
        self._combo.clear()
        for item in self._weights:
            self._combo.addItem(self._none if item is None else item.title)
        if before is not None and before.path in (paths := [item.path if item else "" for item in self._weights]):
            self._combo.setCurrentIndex(paths.index(before.path))
        self._filling = False
        self._combo.enabled = bool(self._weights)

    @property
    def chosen(self) -> Weights | None:
        """The weights, or None."""
        index = self._combo.currentIndex
        return self._weights[index] if 0 <= index < len(self._weights) else None

    def choose(self, path: str) -> bool:
        """Chooses by the file; whether it is there."""
        paths = [item.path if item is not None else "" for item in self._weights]
        if path not in paths:
            return False
        self._combo.setCurrentIndex(paths.index(path))
        return True

    def _onIndexChanged(self, index):
        if not self._filling:
            self._isByHand = True
            self._onChosen()
