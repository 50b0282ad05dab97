"""The preview of a pretraining run: a linear probe, compared with untrained weights, and pictures."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from kaf.data.annotation import scan_labelled
from kaf.data.cache import CachedCase, SliceSettings, cache_cases
from kaf.data.cache_folder import open_cache
from kaf.data.plan import Plan
from kaf.data.views import UnlabelledSlices
from kaf.network import build_network
from kaf.runtime.device_choice import DeviceChoice
from kaf.runtime.errors import InputError
from kaf.runtime.events import Message, OnEvent
from kaf.settings.pretrain import PretrainSettings
from kaf.training.pretraining import Pretrainer
from kaf.training.pretraining_pictures import Pictures
from kaf.training.probe import probe


class Preview:
    """Figures of the EMA network: Dice of the linear probe, and of the same network with untrained weights."""

    def __init__(self, settings: PretrainSettings, plan: Plan, place: DeviceChoice, slices: UnlabelledSlices,
                 folder: Path, send: OnEvent):
        self._context, self._place, self._send = settings.slice_context, place, send
        self._pictures = Pictures(slices, place, folder / "pictures", send)
        self.cases: list[CachedCase] = []
        if settings.labelled:
            labelled = [case.one_channel for case in scan_labelled(settings.labelled, on_event=send).labelled
                        if not {case.name, case.patient} & set(settings.leave_out)]
            if not labelled:
                raise InputError(settings.labelled, "has no labelled case that may be used",
                                 "Give a folder with a few labelled cases of patients who are not left out, or none.")
            wanted = SliceSettings(plan.spacing, plan.slicing_axis, plan.normalisation, settings.keypoints)
            self.cases = cache_cases(labelled, wanted, open_cache(settings.cache), send)
            torch.manual_seed(settings.seed)
            twin = place.put(build_network(plan.network))
            self._untrained = probe(twin, place, self.cases, self._context)

    def __call__(self, network: nn.Module, step: int) -> dict[str, float]:
        """Figures, and the pictures, of a network that has learned for ``step`` steps."""
        assert isinstance(network, Pretrainer)
        self._pictures.draw(network, step)
        if not self.cases:
            return {}
        found = probe(network.network, self._place, self.cases, self._context)
        better = found - self._untrained
        words = "helps" if better > 0.01 else "does not help yet"
        self._send(Message(f"Pretraining {words}: a linear probe reaches Dice {found:.3f} on the labelled cases, "
                           f"{self._untrained:.3f} with untrained weights."))
        return {"probe Dice": found, "untrained Dice": self._untrained}
