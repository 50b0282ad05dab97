"""``kaf finetune --folds``: a network for each fold of the patients, and one model file that averages them.

Every patient is validated by the network that was not trained on them, so that the figures of the model are those of a
cross-validation over all patients.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from kaf.data.annotation import scan_labelled
from kaf.data.splits import Split, k_folds
from kaf.evaluation.run_page import with_page
from kaf.modelfile.card import Card
from kaf.modelfile.model import load_model, save_model
from kaf.modelfile.verdict import judge, verdict_on
from kaf.network.build import build_network
from kaf.network.ensemble import Ensemble
from kaf.runs.run_folder import RunFolder
from kaf.runtime.errors import InputError
from kaf.runtime.events import Event, Message, OnEvent, Progress, Result, ignore
from kaf.runtime.files import atomic_write
from kaf.runtime.json_files import parse
from kaf.settings.finetune import FinetuneSettings
from kaf.settings.network import NetworkSettings
from kaf.training.held_out import VALIDATION
from kaf.training.patients import choose_cases
from kaf.verbs.finetune import finetune

_MODEL = "model.safetensors"


def finetune_folds(settings: FinetuneSettings, folds: int, on_event: OnEvent = ignore) -> Path:
    """Train ``folds`` networks, each of which validates on its share of the patients; returns the path of the model
    file that holds all of them and averages their probabilities.

    The budget of the settings (steps, epochs or minutes) is that of each network.  The run folder holds a run of
    :func:`kaf.verbs.finetune.finetune` in ``fold-1``, ``fold-2``, ...  Interrupted, it is resumed at the fold where it
    was.

    Raises:
        InputError: fewer patients than folds, or nothing to train on.
        OutputError, ModelError, ResourceError, Cancelled: as for :func:`kaf.verbs.finetune.finetune`.
    """
    patients = sorted({case.patient for case in choose_cases(
        scan_labelled(settings.data, settings.partial).labelled, settings)})
    if not 2 <= folds <= len(patients):
        raise InputError(settings.data, f"has {len(patients)} labelled patients, which do not go into {folds} folds",
                         f"Choose 2 to {len(patients)} folds." if len(patients) > 1 else "Add labelled patients.")
    output = Path(settings.output)
    with RunFolder(output, settings, settings.resume, settings.overwrite) as run:
        send = run.recording(on_event)
        run.write_json("split.json", {**vars(Split(tuple(patients), seed=settings.seed, note=f"{folds} folds"))})
        models = []
        for index, (_, held_out) in enumerate(k_folds(patients, folds, settings.seed)):
            fold = output / f"fold-{index + 1}"
            send(Message(f"Fold {index + 1} of {folds}: {len(patients) - len(held_out)} patients for training, "
                         f"{len(held_out)} for validation."))
            models.append(_train(settings, fold, held_out, _Fold(on_event, index, folds)))
            run.checkpointed()
        members = [load_model(path) for path in models]
        cases = [row for path in models for row in _validated(path)]
        card = _card(members[0][1], [card for _, card in members], cases, len(patients))
        card = save_model(output / _MODEL, _joined(card, [network for network, _ in members]), card, overwrite=True)
        _write_validation(output, card, cases)
        verdict = verdict_on(card)
        assert verdict is not None
        result = Result({"model": str(output / _MODEL), "digest": card.digest, "folds": folds,
                         "validation": [card.metrics["validation"]], "verdict": verdict.to_dict()})
        send(with_page(output, result, send))
    return output / _MODEL


@dataclass
class _Fold:
    """Passes on the events of a fold: its progress is a part of the whole, its result is not that of the run."""

    on_event: OnEvent
    index: int
    folds: int

    def __call__(self, event: Event) -> None:
        if isinstance(event, Result):
            return
        if isinstance(event, Progress) and event.code:
            share = (self.index + event.done / event.total) / self.folds
            left = None
            if event.seconds_left is not None and event.done:
                whole = event.seconds_left / max(1e-9, 1 - event.done / event.total)
                left = event.seconds_left + (self.folds - self.index - 1) * whole
            event = Progress(f"{event.stage}, fold {self.index + 1} of {self.folds}", share, 1.0, left, event.code)
        self.on_event(event)


def _train(settings: FinetuneSettings, folder: Path, held_out: Sequence[str], on_event: OnEvent) -> Path:
    """The model of one fold; it is not trained again where it is there."""
    model = folder / _MODEL
    begun = (folder / "settings.json").is_file()
    if settings.resume and model.is_file():
        return model
    values = {"output": str(folder), "validation_cases": tuple(held_out), "validation": None, "splits": "",
              "resume": settings.resume and begun, "overwrite": settings.overwrite and begun}
    return finetune(settings.model_copy(update=values), on_event)


def _joined(card: Card, networks: Sequence[nn.Module]) -> nn.Module:
    """One network that averages these."""
    made = build_network(NetworkSettings(**{**card.network, "members": len(networks)}))
    assert isinstance(made, Ensemble)
    for member, network in zip(made.members, networks, strict=True):
        member.load_state_dict(network.state_dict())
    return made


def _validated(model: Path) -> list[dict[str, Any]]:
    """The validation cases of a fold; the path of a picture is that in the whole run."""
    path = model.with_name(VALIDATION)
    rows = parse(path.read_bytes())["cases"] if path.is_file() else []
    fold = model.parent.name
    return [{**row, "picture": f"{fold}/{row['picture']}"} if "picture" in row else row for row in rows]


def _write_validation(output: Path, card: Card, cases: Sequence[dict[str, Any]]) -> None:
    worst = sorted(cases, key=lambda row: (row["mean"] is None, row["mean"] or 0.0, row["case"]))
    values = {"structures": {str(label.value): label.name for label in card.labels}, "cases": worst}
    atomic_write(output / VALIDATION, json.dumps(values, indent=1) + "\n", overwrite=True)


def _card(first: Card, cards: Sequence[Card], cases: Sequence[dict[str, Any]], patients: int) -> Card:
    """The card of the joined model, with the figures of the cross-validation and the verdict on them."""
    figures: dict[str, Any] = {}
    for label in first.labels:
        found = [row["dice"][str(label.value)] for row in cases if str(label.value) in row["dice"]]
        if found:
            figures[f"Dice {label.value}"] = round(float(np.mean(found)), 4)
    every = [dice for row in cases for dice in row["dice"].values()]
    if every:
        figures["Dice"] = round(float(np.mean(every)), 4)
    verdicts = [verdict for verdict in map(verdict_on, cards) if verdict is not None]
    tested = {label.value for label in first.labels if f"Dice {label.value}" in figures}
    verdict = judge(min(each.epochs for each in verdicts), patients, first.label_names, tested, figures,
                    float(np.nanmean([each.constant for each in verdicts])))
    validation = {"patients": patients, **figures,
                  "protocol": f"per-volume Dice on canonical slices, {len(cards)}-fold cross-validation by patient"}
    return replace(first, network={**first.network, "members": len(cards)},
                   metrics={**first.metrics, "training_patients": patients, "validation": validation,
                            "verdict": verdict.to_dict()})
