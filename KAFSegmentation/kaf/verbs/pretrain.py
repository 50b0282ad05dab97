"""Self-supervised pretraining: from unlabelled scans to a file of weights that fine-tuning starts from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeGuard

import torch

from kaf.data.annotation import settle
from kaf.data.cache import CachedCase
from kaf.data.cache_folder import open_cache, prune_cache
from kaf.data.folder import scan_folder
from kaf.data.needs import Needs, joined
from kaf.data.plan import Plan, make_image_plan
from kaf.data.splits import Split
from kaf.data.unlabelled import check_enough, choose_scans, prepared_cases
from kaf.data.views import UnlabelledSlices
from kaf.data.views3d import VolumePairs
from kaf.evaluation.run_page import with_page
from kaf.methods.registry import check_dimensions, make_methods, needs_of
from kaf.modelfile.card import check_card, tidy_card
from kaf.modelfile.library import find_model
from kaf.modelfile.model import load_tensors, save_model
from kaf.modelfile.transfer import transfer
from kaf.network import build_network
from kaf.runs.run_folder import RunFolder
from kaf.runs.trackers import tracked
from kaf.runtime import ranks
from kaf.runtime.device_choice import DeviceChoice, choose_device
from kaf.runtime.errors import Cancelled, SettingsError
from kaf.runtime.events import Message, OnEvent, Result, ignore
from kaf.runtime.message_codes import DATASET, FORECAST, STARTED_FROM
from kaf.settings.dimensions import small_batches
from kaf.settings.pretrain import PretrainSettings
from kaf.training.cards import pretrained_card
from kaf.training.forecast import forecast
from kaf.training.loop import Loop
from kaf.training.pretraining import Pretrainer, PretrainingTask
from kaf.training.preview import Preview
from kaf.training.schedule import pretrain_schedule


def pretrain(settings: PretrainSettings, on_event: OnEvent = ignore) -> Path:
    """Learn from the scans of a folder without looking at labels; returns the path of the weights.

    The run folder holds settings.json, plan.json, split.json, forecast.json, events.jsonl, pictures, checkpoints,
    model.safetensors, and the page report.html.  Under torchrun every process calls this and works on its part of each
    batch.

    Raises:
        InputError: no scan that can be used, or patients to leave out that are not there.
        SettingsError: a method that does not go with the network, or a batch that does not go into the processes.
        OutputError: the run folder is in use and neither resume nor overwrite was asked for.
        ResourceError: the device is not there, memory does not suffice, or the loss is not a number.
        Cancelled: stopped by the user; a checkpoint was kept.
    """
    with ranks.meeting():
        place = choose_device(settings)
        ranks.start(place.device)
        return _pretrain(small_batches(settings), place, on_event)


def _pretrain(settings: PretrainSettings, place: DeviceChoice, on_event: OnEvent) -> Path:
    if settings.batch % ranks.world():
        raise SettingsError("batch", f"{settings.batch} slices cannot be divided among {ranks.world()} processes",
                            f"Choose a multiple of {ranks.world()}.")
    leads = ranks.rank() == 0
    dataset = scan_folder(settings.data)
    chosen = choose_scans(dataset, settings)
    output = Path(settings.output)
    with (tracked(settings.log, output, settings.model_dump(mode="json"), on_event) as watch,
          RunFolder(output, settings, settings.resume, settings.overwrite, leads) as run):
        send = run.recording(watch)
        for warning in dataset.warnings():
            send(warning)
        plan = make_image_plan(chosen, settings, send)
        run.write_json("plan.json", plan.to_dict())
        check_dimensions(settings, plan.network)
        needs = needs_of(settings)
        if joined(needs.values()).regions == "labels":
            chosen = choose_scans(settle(dataset, on_event=send), settings)
        cases, problems = prepared_cases(chosen, settings, plan, joined(needs.values()), send)
        if problems:
            run.write_json("left_out.json", [str(problem) for problem in problems])
        check_enough(cases, settings, needs, send)
        split = Split(tuple(sorted({case.patient for case in cases})), seed=settings.seed,
                      note="pretraining, images only; left out: " + (", ".join(settings.leave_out) or "nobody"))
        run.write_json("split.json", {**vars(split)})
        count = sum(len(case.image) for case in cases)
        send(Message(f"{len(split.train)} patients, {len(cases)} scans, {count} slices; method {settings.method}; on "
                     f"{place.reason}{f', {ranks.world()} processes' if ranks.world() > 1 else ''}.", code=DATASET,
                     data={"patients": len(split.train), "scans": len(cases), "slices": count}))
        pretrainer = _make_pretrainer(settings, plan, run, send)
        check_card(tidy_card(pretrained_card(settings, plan, pretrainer, len(split.train), ())))  # not after hours
        slices = _views_of(cases, settings, plan, joined(needs.values()))
        place.put(pretrainer)
        preview = Preview(settings, plan, place, slices, run.path, send) if leads and _in_2d(slices) else None
        if leads:
            used = [*cases, *(preview.cases if preview else ())]
            prune_cache(open_cache(settings.cache), settings.cache_limit, [case.entry for case in used], send)
        task = PretrainingTask(pretrainer, place, slices, settings.batch, preview, send)
        schedule = pretrain_schedule(settings, len(slices))
        loop = Loop(task, schedule, place, run.path / "checkpoints", settings.resume, send, run.checkpointed)
        if not settings.resume:
            expected = forecast(loop)
            run.write_json("forecast.json", vars(expected))
            send(Message(expected.text(), code=FORECAST, data=vars(expected)))
        try:
            trained = loop.run()
        except KeyboardInterrupt:
            loop.save()
            raise Cancelled(run.path, "pretraining was stopped", "Continue it with --resume.") from None
        assert isinstance(trained, Pretrainer)
        path = run.path / "model.safetensors"
        if leads:
            network = plan.network.model_copy(update={"clusters": trained.keep_clusters()})
            plan = replace(plan, network=network)
            card = pretrained_card(settings, plan, trained, len(split.train), loop.state.validations)
            card = save_model(path, trained.network.cpu(), card, overwrite=True)
            result = Result({"model": str(path), "digest": card.digest, "steps": loop.state.step,
                             "left_out": loop.state.left_out, "seconds": round(loop.state.elapsed, 1),
                             "probe": loop.state.validations[-1:]})
            send(with_page(run.path, result, send))
    return path


def _make_pretrainer(settings: PretrainSettings, plan: Plan, run: RunFolder, send: OnEvent) -> Pretrainer:
    """Network and heads with random weights decided by the seed, or the network's from ``init_from``."""
    if plan.network.dimensions == 3:
        _check_3d(settings)
    elif plan.network.kind != "kaf":
        raise SettingsError("network.kind", f"{plan.network.kind} cannot be pretrained",
                            "Use kind kaf; its fusion none or copy gives the plain U-Nets.")
    torch.manual_seed(settings.seed)
    network = build_network(plan.network, settings.fusion_start)
    if settings.init_from:
        source = find_model(settings.init_from)
        card, tensors = load_tensors(source)
        report = transfer(network, tensors, source, card.trained_modules, least=0.9)
        run.write_json("transfer.json", {"source": str(source), "digest": card.digest, **report.to_dict()})
        send(Message(f"Started from {card.name}: {report.text()}.", code=STARTED_FROM,
                     data={"model": card.name, "coverage": report.coverage}))
    return Pretrainer(network, make_methods(settings, plan.network), settings.weights)


def _views_of(cases: Sequence[CachedCase], settings: PretrainSettings, plan: Plan, needs: Needs
             ) -> UnlabelledSlices | VolumePairs:
    """The views that the methods need, of slices or of patches in 3-D."""
    if plan.network.dimensions == 3:
        assert plan.network.patch is not None
        return VolumePairs(cases, plan.network.patch, settings.augmentation, settings.seed, needs.least_overlap)
    return UnlabelledSlices(
        cases, (plan.patch, plan.patch), settings.slice_context, settings.augmentation, settings.seed,
        names=needs.views, aligned=needs.aligned, radius=needs.match_radius, regions=needs.regions,
        radius_mm=needs.match_mm, ratio=needs.match_ratio,
        neighbours=settings.neighbours, most_neighbours=settings.most_neighbours)


def _in_2d(slices: UnlabelledSlices | VolumePairs) -> TypeGuard[UnlabelledSlices]:
    return isinstance(slices, UnlabelledSlices)


def _check_3d(settings: PretrainSettings) -> None:
    if settings.labelled:
        raise SettingsError("labelled", "is for the probe, which works on slices only",
                            "Leave it out with network.dimensions 3.")
