"""How long a run will take and how much memory it needs, shown before it is started."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import qt
from slicer.i18n import tr as _

from kaf.imaging.grid import canonical_grid
from kaf.modelfile.card import Card
from kaf.runtime.memory import free_memory
from KAFSegmentationLib.backend.Devices import REMOTE, workerThreads
from KAFSegmentationLib.backend.DeviceSelector import likelyDevice
from KAFSegmentationLib.scene.VolumeGeometry import VolumeGeometry
from KAFSegmentationLib.widgets.RoughTime import roughTime

_BATCH = 8  # slices at a time, the default of the settings
# Measured on an AMD EPYC core with random networks of width 8, 16 and 32: pixels per second and per core times
# the square of the width, and bytes per pixel of a batch and unit of width. A run that was watched replaces it.
_SPEED = {"cpu": 3.6e7, "mps": 2e8, "cuda": 1.5e9, REMOTE: 1.5e9}
_BYTES = 74
_LIBRARIES = 400e6
_COLD_START = 4.0


_MEASURED = {"cpu": _("Will take {time} and {memory} GB of memory on the CPU."),
             "cuda": _("Will take {time} and {memory} GB of memory on the NVIDIA GPU."),
             "mps": _("Will take {time} and {memory} GB of memory on the Apple GPU."),
             REMOTE: _("Will take {time} on the other computer, and the time to send the scan.")}
_ESTIMATED = {"cpu": _("Will take {time} (a rough estimate) and {memory} GB of memory on the CPU."),
              "cuda": _("Will take {time} (a rough estimate) and {memory} GB of memory on the NVIDIA GPU."),
              "mps": _("Will take {time} (a rough estimate) and {memory} GB of memory on the Apple GPU."),
              REMOTE: _("Will run on the other computer; the first run there shows how long it takes.")}


@dataclass(frozen=True)
class Forecast:
    """``pixels``: of all slices as the network sees them; ``seconds``; ``memory`` in bytes; ``device``: cpu, cuda,
    mps or that of another computer; ``known``: whether the time comes from a run on this computer."""

    pixels: int
    seconds: float
    memory: float
    device: str
    known: bool

    def text(self) -> str:
        """One sentence for the panel."""
        texts = _MEASURED if self.known else _ESTIMATED
        text = texts[self.device].format(time=roughTime(self.seconds), memory=f"{self.memory / 1e9:.1f}")
        free = free_memory()
        if self.device != "cpu" or free is None or self.memory <= free:
            return text
        warning = _("Only {memory} GB of memory is free: close other programs or segment a region only.")
        return " ".join([text, warning.format(memory=f"{free / 1e9:.1f}")])


def forecast(geometry: VolumeGeometry, model: str, card: Card, settings: Mapping[str, Any],
             warm: bool = False) -> Forecast:
    """The forecast for a volume, a model and the settings of the verb ``segment``; ``warm`` after a first run.

    Raises:
        InputError: the geometry cannot be segmented.
    """
    grid = canonical_grid(geometry.shape(), geometry.affine(), card.spacing, card.slicing_axis)
    grid.refuse_size()
    slice_ = int(np.prod(grid.size))
    pixels = slice_ * grid.n_slices * (4 if settings.get("flips") else 1)
    device = likelyDevice(settings["device"])
    width = int(card.network.get("width", 32))
    speed = knownSpeed(model, device)
    cores = settings.get("threads", 1) if device == "cpu" else 1
    seconds = (0.0 if warm else _COLD_START) + pixels / (speed or _SPEED[device] * cores ** 0.8 / width ** 2)
    memory = _LIBRARIES + 9 * np.prod(geometry.shape()) + _BYTES * width * slice_ * min(_BATCH, grid.n_slices)
    return Forecast(pixels, seconds, float(memory), device, speed is not None)


def knownSpeed(model: str, device: str) -> float | None:
    """Pixels per second of the last run of this model on this device, or None."""
    try:
        return float(qt.QSettings().value(_key(model, device))) or None
    except (TypeError, ValueError):
        return None


def rememberSpeed(model: str, device: str, pixels: int, seconds: float) -> None:
    """Remembers the speed of a run on this computer."""
    if pixels > 0 and seconds > 0:
        qt.QSettings().setValue(_key(model, device), pixels / seconds)


def _key(model, device):
    return f"KAFSegmentation/PixelsPerSecond/{device}-{workerThreads()}/{model}"
