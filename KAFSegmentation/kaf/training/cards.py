"""The model cards of what training makes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kaf._version import __version__
from kaf.data.plan import Plan
from kaf.data.splits import Split
from kaf.imaging.labels import plain_label
from kaf.modelfile.card import Card
from kaf.modelfile.licences import inherited
from kaf.settings.finetune import FinetuneSettings
from kaf.settings.network import NetworkSettings
from kaf.settings.pretrain import PretrainSettings
from kaf.training.pretraining import Pretrainer


def _modules(network: NetworkSettings) -> tuple[str, ...]:
    """The parts of the network, all of which are trained."""
    if network.kind != "kaf" and network.dimensions == 2:
        return ("body",)
    return ("encoder", "decoder", "head", *(("clusters",) if network.clusters else ()))


def finetuned_card(settings: FinetuneSettings, plan: Plan, split: Split, validations: Sequence[dict[str, float]],
                   base: Card | None = None) -> Card:
    """The card of a model that was fine-tuned, from ``base`` if one is given, whose licence stays with the weights.

    What nobody stated is said to be unspecified, not invented.
    """
    licence, training_data = inherited(settings.weights_licence, settings.training_data, base)
    labels = tuple(plain_label(value, settings.labels.get(value, ""), settings.terminology.get(value, ""))
                   for value in plan.values)
    metrics: dict[str, Any] = {"training_patients": len(split.train)}
    if min(plan.field_of_view) > 0:
        metrics["training_field_of_view_mm"] = [round(side, 1) for side in plan.field_of_view]
    if validations:
        last = {name: round(value, 4) for name, value in validations[-1].items()}
        metrics["validation"] = {"patients": len(split.validation), **last,
                                 "protocol": "per-volume Dice on canonical slices of patients not trained on"}
    # No private path and no patient's name travels with a model.
    recipe = settings.model_dump(
        exclude={"output", "resume", "overwrite", "cache", "cache_limit", "cases", "validation_cases", "leave_out"})
    recipe |= {name: Path(recipe[name]).name for name in ("data", "init_from", "unlabelled", "validation_data")}
    return Card(
        name=settings.name, version="1", description=settings.description, labels=labels, modality=plan.modality,
        spacing=round(plan.spacing, 4), slice_spacing=round(plan.slice_spacing, 4), slicing_axis=plan.slicing_axis,
        slice_context=settings.slice_context, normalisation=plan.normalisation.model_dump(),
        network=plan.network.model_dump(), trained_modules=_modules(plan.network),
        keypoints=settings.keypoints.model_dump(exclude=None if plan.channels else {"channel"}),
        channels=tuple(channel.to_dict() for channel in plan.channels),
        weights_licence=licence, training_data=training_data, metrics=metrics,
        seed=settings.seed, code_version=__version__, recipe=json.loads(json.dumps(recipe)))


def pretrained_card(settings: PretrainSettings, plan: Plan, trained: Pretrainer, patients: int,
                    validations: Sequence[dict[str, float]]) -> Card:
    """The card of pretrained weights: no labels, and which modules learned something."""
    metrics: dict[str, Any] = {"pretraining_patients": patients}
    if validations:
        metrics["probe"] = {name: round(value, 4) for name, value in validations[-1].items()}
    # No private path and no patient's name travels with a model.
    recipe = settings.model_dump(
        mode="json", exclude={
            "output", "resume", "overwrite", "cache", "cache_limit", "cases", "leave_out", "labelled"})
    recipe |= {name: Path(recipe[name]).name for name in ("data", "init_from")}
    return Card(
        name=settings.name, version="1", labels=(), modality=plan.modality,
        description=f"Weights pretrained by {settings.method} on unlabelled scans; fine-tune them before use.",
        spacing=round(plan.spacing, 4), slice_spacing=round(plan.slice_spacing, 4), slicing_axis=plan.slicing_axis,
        slice_context=settings.slice_context, normalisation=plan.normalisation.model_dump(),
        network=plan.network.model_dump(), keypoints=settings.keypoints.model_dump(exclude={"channel"}),
        trained_modules=trained.trained_modules, weights_licence=settings.weights_licence,
        training_data=settings.training_data, metrics=metrics, seed=settings.seed, code_version=__version__,
        recipe=json.loads(json.dumps(recipe)))
