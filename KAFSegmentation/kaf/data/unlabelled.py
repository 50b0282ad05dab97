"""The scans that pretraining learns from: chosen, prepared, those left out that cannot be used, and enough of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from kaf.data.cache import CachedCase, SliceSettings, load_case
from kaf.data.cache_folder import open_cache
from kaf.data.folder import Case, Dataset
from kaf.data.needs import Needs
from kaf.data.pairing import some
from kaf.data.plan import Plan
from kaf.runtime import ranks
from kaf.runtime.errors import InputError
from kaf.runtime.events import Message, OnEvent, Ticker
from kaf.settings.pretrain import PretrainSettings

_SAID = 5  # so many of those left out are reported one by one
_FLAT = 0.7  # so many pixels inside structures equal their neighbour only in label maps


def choose_scans(dataset: Dataset, settings: PretrainSettings) -> list[Case]:
    """The scans that the settings name; all where they name none; never those of patients to leave out."""
    if not dataset.cases:
        raise InputError(settings.data, f"holds only test scans (in {dataset.test_folders}), which are never learned "
                         "from", "Add scans outside that folder, or give the folder of the scans itself.")
    known = {name for case in dataset.cases for name in (case.name, case.patient)}
    tested = {name for case in dataset.test for name in (case.name, case.patient)}
    if asked := sorted(set(settings.cases) & tested - known):
        raise InputError(settings.data, f"keeps {some(asked)} for testing (in {dataset.test_folders})",
                         "Leave it out of --cases, or move its scan to those to learn from.")
    unknown = sorted((set(settings.cases) | set(settings.leave_out)) - known - tested)
    if unknown:
        raise InputError(settings.data, f"has no case or patient {', '.join(unknown[:5])}",
                         "See `kaf data scan` for the names of cases and patients.")
    wanted, unwanted = set(settings.cases), set(settings.leave_out)
    chosen = [case for case in dataset.cases if (not wanted or wanted & {case.name, case.patient})
              and not unwanted & {case.name, case.patient}]
    if not chosen:
        raise InputError(settings.data, f"every scan is left out (leave_out is {some(sorted(unwanted))})",
                         "Leave out fewer patients, or add scans of others.")
    return chosen


def slice_settings(settings: PretrainSettings, plan: Plan, needs: Needs) -> SliceSettings:
    """How slices are prepared: keypoints with descriptors where they are matched, superpixels where they are needed."""
    return SliceSettings(plan.spacing, plan.slicing_axis, plan.normalisation, settings.keypoints,
                         needs.match_radius > 0, needs.superpixels)


def prepared_cases(cases: Sequence[Case], settings: PretrainSettings, plan: Plan, needs: Needs, send: OnEvent
                   ) -> tuple[list[CachedCase], list[InputError]]:
    """The scans in slices, and what is wrong with those that cannot be used; one such is an error when strict.

    Several processes share the work through the cache.
    """
    labels = needs.regions == "labels"
    wanted, folder = slice_settings(settings, plan, needs), open_cache(settings.cache)

    def prepared(case: Case) -> CachedCase:
        if labels and case.label is None:
            raise InputError(case.image, f"has no labels, which --method {settings.method} needs here",
                             "Leave it out with --cases, or set the method's regions to superpixels.")
        made = load_case(case.one_channel if labels else case.unlabelled.one_channel, wanted, folder)
        if looks_like_labels(made.image):
            raise InputError(case.image, "looks like a label map, which is no scan to learn from",
                             "End its name in _gt or _seg, or take it out of the folder.")
        return made

    if ranks.world() > 1:
        _each(ranks.mine(cases), prepared, settings, send)
        ranks.wait()
    usable, problems = _each(cases, prepared, settings, send)
    if not usable:
        raise problems[0]
    for problem in problems[:_SAID]:
        send(Message(f"Left out: {problem}", "warning"))
    if len(problems) > _SAID:
        send(Message(f"{len(problems)} of {len(cases)} scans were left out in all; left_out.json lists them.",
                     "warning"))
    return usable, problems


def _each(cases: Sequence[Case], prepared: Callable[[Case], CachedCase], settings: PretrainSettings, send: OnEvent
          ) -> tuple[list[CachedCase], list[InputError]]:
    ticker = Ticker(send, "reading and preparing scans", len(cases))
    usable, problems = list[CachedCase](), list[InputError]()
    for index, case in enumerate(cases):
        try:
            usable.append(prepared(case))
        except InputError as error:
            if settings.strict:
                raise
            if not Path(settings.data).exists():
                raise InputError(settings.data, "this folder has disappeared while its scans were read",
                                 "Put it back and start again; scans that are prepared already are kept.") from error
            problems.append(error)
        ticker.update(index + 1)
    return usable, problems


def looks_like_labels(image: np.ndarray) -> bool:
    """Whether (S, H, W) prepared slices are flat inside: neighbouring pixels above the lowest value are equal."""
    if image.shape[2] < 2:
        return False
    some = np.asarray(image[::max(1, len(image) // 16)])
    here, before = some[..., 1:], some[..., :-1]
    inside = here > some.min() + 1e-3
    return bool(inside.any()) and float(np.mean(np.abs(here - before)[inside] < 1e-4)) > _FLAT


def check_enough(cases: Sequence[CachedCase], settings: PretrainSettings, needs: Mapping[str, Needs], send: OnEvent
                 ) -> None:
    """Whether the methods, each with its ``needs``, can learn anything from so many slices.

    Raises:
        InputError: fewer slices than a method needs, or nowhere more than one slice where their position counts.
    """
    single = [case.name for case in cases if len(case.image) == 1]
    slices = sum(len(case.image) for case in cases)
    for name, own in needs.items():
        if slices < own.slices:
            raise InputError(settings.data, f"has a single slice, and method {name} compares slices with each other",
                             "Add scans, or use --method mae.")
        if len(single) == len(cases) and own.several_per_scan:
            alone = f", or --{name}.positives view" if hasattr(settings.of(name), "positives") else ""
            raise InputError(
                settings.data, f"every scan is a single slice, and method {name} compares positions within a volume",
                f"Use --method simclr{alone}.")
    if single and any("neighbour" in own.views for own in needs.values()):
        send(Message(f"{len(single)} of {len(cases)} scans are a single slice, which is its own neighbour: "
                     f"{', '.join(single[:_SAID])}.", "warning"))
    if slices < settings.batch:
        send(Message(f"There are {slices} slices for batches of {settings.batch}: the same slice is used several times "
                     "per batch, in different views.", "warning"))
