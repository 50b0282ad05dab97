"""The pictures of a run of pretraining: sheets that its methods draw, as files and events.

The same few slices are drawn every time, so that the sheets of a run can be compared.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from kaf.data.views import UnlabelledSlices
from kaf.methods.base import MethodInput
from kaf.network import Features
from kaf.network.batch_norm import at_least_float as fp32
from kaf.picture.overview import encode_png
from kaf.runtime.device_choice import DeviceChoice
from kaf.runtime.events import OnEvent, Picture
from kaf.runtime.files import atomic_write
from kaf.training.pretraining import Pretrainer

_DRAWN_FROM = 2 ** 31  # a step that no run reaches
_SLICES = 8


class Pictures:
    """Draws a sheet per method that has one, into ``folder``."""

    def __init__(self, slices: UnlabelledSlices, place: DeviceChoice, folder: Path, send: OnEvent):
        self._place, self._folder, self._send = place, folder, send
        self._batch = slices.batch(_DRAWN_FROM, _SLICES)

    @torch.no_grad()
    def draw(self, network: Pretrainer, step: int) -> list[Path]:
        """One PNG file and one Picture event per sheet, of the network as it is after ``step`` steps."""
        given = self._given(network)
        sheets = [sheet for sheet in (method.picture(given) for method in network.each_method().values()) if sheet]
        written = []
        if sheets:
            self._folder.mkdir(exist_ok=True)
        for sheet in sheets:
            path = self._folder / f"{sheet.name}-{step:08d}.png"
            words = "after 1 step" if step == 1 else f"after {step} steps"
            atomic_write(path, encode_png(sheet.render(words)), overwrite=True)
            self._send(Picture(sheet.title, str(path)))
            written.append(path)
        return written

    def _given(self, network: Pretrainer) -> MethodInput:
        network.add_views(self._batch)
        batch = self._batch.to(self._place.device)
        with self._place.autocast():
            features = network.eval().features(batch, network.names, network.depth)
        return MethodInput(batch, {name: _widened(found) for name, found in features.items()}, 1.0)


def _widened(features: Features) -> Features:
    """In fp32, so that all that follows needs no autocast."""
    return replace(features, logits=fp32(features.logits), bottleneck=fp32(features.bottleneck),
                   tokens=[fp32(t) for t in features.tokens], decoder=[fp32(d) for d in features.decoder],
                   encoder=[fp32(e) for e in features.encoder])
