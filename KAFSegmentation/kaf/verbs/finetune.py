"""Fine-tuning: from labelled cases (and, if given, pretrained weights) to one model file."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from kaf.data.annotation import scan_labelled
from kaf.data.batches import LabelledSlices
from kaf.data.cache import CachedCase, SliceSettings, as_case, cache_cases, prepare_case
from kaf.data.cache_folder import open_cache, prune_cache
from kaf.data.dataset import Dataset
from kaf.data.folder import scan_folder
from kaf.data.pairing import some
from kaf.data.patches3d import LabelledVolumes
from kaf.data.plan import Plan, make_plan
from kaf.data.plan_text import plan_text
from kaf.data.splits import Split
from kaf.data.views import UnlabelledSlices
from kaf.evaluation.run_page import with_page
from kaf.inference.slices import SlicePredictor, fold_norms
from kaf.inference.volumes import VolumePredictor
from kaf.modelfile.card import Card, check_card, read_card, tidy_card
from kaf.modelfile.library import find_model
from kaf.modelfile.model import load_tensors, save_model
from kaf.modelfile.transfer import transfer
from kaf.modelfile.verdict import Verdict, judge
from kaf.network import build_network
from kaf.phantom.heart import cardiac_phantom
from kaf.runs.run_folder import RunFolder
from kaf.runs.trackers import tracked
from kaf.runtime import ranks
from kaf.runtime.device_choice import DeviceChoice, choose_device
from kaf.runtime.errors import Cancelled, InputError, ModelError, SettingsError
from kaf.runtime.events import Message, OnEvent, Result, ignore
from kaf.runtime.message_codes import DATASET, STARTED_FROM
from kaf.settings.base import build
from kaf.settings.dimensions import fitted_batch, small_batches
from kaf.settings.finetune import FinetuneSettings
from kaf.training.calibration import calibrate_model
from kaf.training.cards import finetuned_card
from kaf.training.constant_guess import constant_dice
from kaf.training.elsewhere import validation_elsewhere, with_validation
from kaf.training.entropy_task import CrossEntropyTask, check_loss
from kaf.training.held_out import write_held_out
from kaf.training.loop import Loop
from kaf.training.mixing import MixingTask
from kaf.training.patients import check_same_patients, choose_cases, split_cases
from kaf.training.processes import check_processes
from kaf.training.schedule import finetune_schedule
from kaf.training.task import SegmentationTask
from kaf.training.task3d import VolumeTask

_LEAST_COVERAGE = 0.9  # of the modules that the weights have learned


def finetune(settings: FinetuneSettings, on_event: OnEvent = ignore) -> Path:
    """Train on the labelled cases of a folder; returns the path of the finished model file.

    The run folder holds settings.json, plan.json, split.json, events.jsonl, checkpoints, model.safetensors,
    validation.json with pictures of the worst validation cases, and the page report.html.
    Under torchrun every process calls this and works on its part of each batch; the first one validates and writes.

    Raises:
        InputError: nothing to train on, or a case that cannot be used.
        ModelError: the weights to start from are not there or are unsound.
        OutputError: the run folder is in use and neither resume nor overwrite was asked for.
        ResourceError: the device is not there, or the loss is not a number.
        Cancelled: stopped by the user; a checkpoint was kept.
        SettingsError: settings that do not go together, or with several processes.
    """
    with ranks.meeting():
        place = choose_device(settings)
        ranks.start(place.device)
        return _finetune(settings, place, on_event if ranks.rank() == 0 else ignore)


def _finetune(settings: FinetuneSettings, place: DeviceChoice, on_event: OnEvent) -> Path:
    leads = ranks.rank() == 0
    source = find_model(settings.init_from) if settings.init_from else None
    base = read_card(source) if source is not None else None
    if base is not None and base.network.get("members", 1) > 1:
        raise ModelError(settings.init_from, "averages several networks, from which a training cannot start",
                         "Start from the model of one of its folds: fold-1/model.safetensors in its run folder.")
    settings = small_batches(_inherit(settings, base) if base is not None else settings)
    check_loss(settings)
    check_processes(settings)
    dataset = scan_labelled(settings.data, settings.partial, on_event)
    dataset.refuse_test_only()
    labelled = choose_cases(dataset.labelled, settings)
    elsewhere = validation_elsewhere(settings, dataset)
    split = with_validation(split_cases(labelled, settings), elsewhere)
    if settings.resume:
        check_same_patients(Path(settings.output) / "split.json", split)
    output = Path(settings.output)
    with (tracked(settings.log if leads else "none", output, settings.model_dump(mode="json"), on_event) as watch,
          RunFolder(output, settings, settings.resume, settings.overwrite, leads) as run):
        send = run.recording(watch)
        for warning in dataset.warnings():
            send(warning)
        send(Message(f"{len(split.train)} patients for training, {len(split.validation)} for validation, on "
                     f"{place.reason}{f', {ranks.world()} processes' if ranks.world() > 1 else ''}.", code=DATASET,
                     data={"patients": len(split.train), "validation": len(split.validation)}))
        if leads:
            split.save(run.path / "split.json")
        settings = settings.model_copy(update={"labels": {**dataset.label_names, **settings.labels}})
        members = set(split.train) | set(split.validation)
        used = [*(case for case in labelled if case.patient in members), *elsewhere]
        if settings.unlabelled and any(case.annotated is not None or case.ignore is not None for case in used):
            raise SettingsError("unlabelled", "cannot be combined with partial labels, nor with a label to ignore",
                                "Leave --unlabelled out.")
        plan = make_plan(used, settings, send)
        if plan.channels and (settings.unlabelled or settings.phantoms):
            raise SettingsError("unlabelled" if settings.unlabelled else "phantoms", "cannot be combined with scans of "
                                "several channels", "Leave it out.")
        _tell_unnamed(dataset, plan, send)
        settings = fitted_batch(settings, plan.patch)
        send(Message(plan_text(plan)))
        run.write_json("plan.json", {**plan.to_dict(), "batch": settings.batch})
        check_card(tidy_card(finetuned_card(settings, plan, split, (), base)))  # not after hours of training
        cache = open_cache(settings.cache)
        if ranks.world() > 1:  # each prepares its part of them
            cache_cases(ranks.mine(used), _slice_settings(settings, plan), cache, send)
            ranks.wait()
        cases = cache_cases(used, _slice_settings(settings, plan), cache, send)
        training = [case for case in cases if case.patient in set(split.train)]
        held_out = [case for case in cases if leads and case.patient in set(split.validation)]
        network = _start(settings, plan, source, run, send)
        real = tuple(training)
        training += _phantoms(settings, plan)
        more = _unlabelled(settings, plan, members, cache, send) if settings.unlabelled else []
        if leads:
            prune_cache(cache, settings.cache_limit, [case.entry for case in (*cases, *more)], send)
        task = _task(settings, plan, place, network, training, held_out, more)
        before = _dice_before(task, place, plan, base)
        schedule = finetune_schedule(settings, len(task.slices))
        loop = Loop(task, schedule, place, run.path / "checkpoints", settings.resume, send, run.checkpointed,
                    _keeper(run, finetuned_card(settings, plan, split, (), base)) if settings.keep_best else _nothing)
        try:
            trained = loop.run()
        except KeyboardInterrupt:
            loop.save()
            raise Cancelled(run.path, "training was stopped", "Continue it with --resume.") from None
        path = run.path / "model.safetensors"
        if not leads:
            return path
        epochs = (loop.state.step - loop.state.left_out) * settings.batch / len(task.slices)
        card = finetuned_card(settings, plan, split, loop.state.validations, base)
        verdict = _verdict(epochs, card, split, real, held_out, loop.state.validations, before)
        card = replace(card, metrics={**card.metrics, "verdict": verdict.to_dict()})
        quality = calibrate_model(_predictor(task, trained, place, settings), plan.network.classes, card.label_names,
                                  real, held_out, send)
        card = replace(card, quality=quality)
        card = save_model(path, trained.cpu(), card, overwrite=True)
        write_held_out(run.path, task.scores, card.labels)
        result = Result({"model": str(path), "digest": card.digest, "steps": loop.state.step,
                         "left_out": loop.state.left_out, "seconds": round(loop.state.elapsed, 1),
                         "validation": loop.state.validations[-1:], "verdict": verdict.to_dict()})
        send(with_page(run.path, result, send))
    return path


def _keeper(run: RunFolder, card: Card) -> Callable[[nn.Module], None]:
    """Writes best.safetensors in the run folder; the network in training stays where it is."""
    def keep(network: nn.Module) -> None:
        save_model(run.path / "best.safetensors", copy.deepcopy(network).cpu(), card, overwrite=True)

    return keep


def _nothing(network: nn.Module) -> None:
    """Where only the last network is kept."""


def _dice_before(task: SegmentationTask | VolumeTask, place: DeviceChoice, plan: Plan, base: Card | None) -> float:
    """Mean Dice on the validation cases of the model that the training starts from, where it segments the same
    structures already; NaN elsewhere."""
    if base is None or not task.validation or {label.value for label in base.labels} != set(plan.values):
        return float("nan")
    return task.validate(place.put(task.network)).get("Dice", float("nan"))


def _predictor(task: SegmentationTask | VolumeTask, network: nn.Module, place: DeviceChoice,
               settings: FinetuneSettings) -> SlicePredictor:
    """The trained network as ``kaf segment`` will run it."""
    if isinstance(task, VolumeTask):
        assert task.settings.patch is not None
        return VolumePredictor(network.eval(), place, patch=task.settings.patch)
    return SlicePredictor(fold_norms(network), place, settings.slice_context)


def _verdict(epochs: float, card: Card, split: Split, training: Sequence[CachedCase], held_out: Sequence[CachedCase],
             validations: Sequence[dict[str, float]], before: float) -> Verdict:
    """What the last validation says about the model, beside what doing nothing is worth."""
    tested = {int(value) for case in held_out if case.labels is not None for value in np.unique(case.labels)}
    return judge(epochs, len(split.validation), card.label_names, tested, validations[-1] if validations else {},
                 constant_dice(training, held_out, list(card.label_names)), before)


def _task(settings: FinetuneSettings, plan: Plan, place: DeviceChoice, network: nn.Module,
          training: Sequence[CachedCase], held_out: Sequence[CachedCase], more: Sequence[CachedCase]
          ) -> SegmentationTask | VolumeTask:
    """What is trained: on slices, on slices of which some are unlabelled (those of ``more``), or on patches in 3-D."""
    if plan.network.dimensions == 3:
        assert plan.network.patch is not None
        patches = LabelledVolumes(training, plan.network.patch, settings.augmentation, settings.seed)
        return VolumeTask(network, plan.network, place, patches, settings.batch, held_out)
    slices = LabelledSlices(training, (plan.patch, plan.patch), settings.slice_context, settings.augmentation,
                            settings.seed)
    supervised = (network, place, slices, settings.batch, held_out, settings.slice_context)
    if not more:
        return (CrossEntropyTask if settings.loss == "ce" else SegmentationTask)(*supervised)
    others = UnlabelledSlices(more, (plan.patch, plan.patch), settings.slice_context, settings.augmentation,
                              settings.seed, names=())
    return MixingTask(*supervised, others, settings.unlabelled_weight, settings.unlabelled_after)


def _tell_unnamed(dataset: Dataset, plan: Plan, send: OnEvent) -> None:
    """Says where label maps and dataset.json speak of different values."""
    named = dataset.label_names
    if named and (unnamed := sorted(set(plan.values) - named.keys())):
        send(Message(f"The label maps have values that dataset.json does not name: {some(unnamed)}. They are learned "
                     "as structures of their own; correct one of the two if that is not meant.", "warning"))


_INHERITED = ("spacing", "slicing_axis", "slice_context", "normalisation", "network", "keypoints")


def _inherit(settings: FinetuneSettings, card: Card) -> FinetuneSettings:
    """Where nothing else was said, scans are made into what the weights have learned from, for the same network."""
    said = {name for name in settings.model_fields_set if getattr(settings, name) is not None}
    values = {name: getattr(card, name) for name in _INHERITED
              if name not in said and getattr(card, name) not in ({}, None)}
    if "network" in values:  # what an older card leaves out was as published
        values["network"] = {"base": "published", **values["network"]}
    return build(FinetuneSettings, {**settings.model_dump(exclude_unset=True), **values})


def _slice_settings(settings: FinetuneSettings, plan: Plan) -> SliceSettings:
    return SliceSettings(plan.spacing, plan.slicing_axis, plan.normalisation, settings.keypoints,
                         more=plan.more_normalisations)


def _phantoms(settings: FinetuneSettings, plan: Plan) -> list[CachedCase]:
    """Procedural hearts with seeds far from those that demonstrations and tests use."""
    made = []
    for index in range(settings.phantoms):
        volume, labels = cardiac_phantom(seed=1_000_000 + settings.seed * 10_000 + index)
        made.append(as_case(f"phantom{index}", f"phantom{index}",
                            *prepare_case(volume, labels, _slice_settings(settings, plan))))
    return made


def _unlabelled(settings: FinetuneSettings, plan: Plan, members: set[str], cache: Path, send: OnEvent
                ) -> list[CachedCase]:
    """The unlabelled scans, without any patient who trains with labels, validates or is left out."""
    cases = [case.unlabelled for case in scan_folder(settings.unlabelled).cases
             if case.patient not in members and not {case.name, case.patient} & set(settings.leave_out)]
    if not cases:
        raise InputError(settings.unlabelled, "contains no scan of a patient who is neither used already nor left out",
                         "Give a folder with other scans, or fine-tune without --unlabelled.")
    send(Message(f"Training also uses {len(cases)} unlabelled scans."))
    return cache_cases(cases, _slice_settings(settings, plan), cache, send)


def _start(settings: FinetuneSettings, plan: Plan, source: Path | None, run: RunFolder, send: OnEvent) -> nn.Module:
    torch.manual_seed(settings.seed)
    network = build_network(plan.network, settings.fusion_start)
    if source is not None:
        card, tensors = load_tensors(source)
        report = transfer(network, tensors, source, card.trained_modules, least=_LEAST_COVERAGE)
        run.write_json("transfer.json", {"source": str(source), "digest": card.digest, **report.to_dict()})
        send(Message(f"Started from {card.name}: {report.text()}.", code=STARTED_FROM,
                     data={"model": card.name, "coverage": report.coverage}))
    return network
