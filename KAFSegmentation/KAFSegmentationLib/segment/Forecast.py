"""How long a run will take and how much memory it needs, told before it is started."""

from dataclasses import dataclass

import numpy as np
import qt

from kaf.imaging.grid import canonical_grid
from kaf.runtime.memory import free_memory
from KAFSegmentationLib.backend.DeviceSelector import likelyDevice
from KAFSegmentationLib.segment.SegmentationLogic import workerThreads

_BATCH = 8  # slices at a time, the default of the settings
# Measured on an AMD EPYC core with random networks of width 8, 16 and 32: pixels per second and per core times
# the square of the width, and bytes per pixel of a batch and unit of width. A run that was watched replaces it.
_SPEED = {"cpu": 3.6e7, "mps": 2e8, "cuda": 1.5e9}
_BYTES = 74
_LIBRARIES = 400e6
_COLD_START = 4.0


@dataclass(frozen=True)
class Forecast:
    """``pixels``: of all slices as the network sees them; ``seconds``; ``memory`` in bytes; ``device``: cpu, cuda
    or mps; ``known``: whether the time comes from a run on this computer."""

    pixels: int
    seconds: float
    memory: float
    device: str
    known: bool

    def text(self):
        """One sentence for the panel."""
        where = {"cpu": "the processor", "cuda": "the graphics card", "mps": "the Apple graphics"}[self.device]
        basis = "" if self.known else " (a first guess)"
        text = f"Will take {roughTime(self.seconds)}{basis} and {self.memory / 1e9:.1f} GB of memory on {where}."
        free = free_memory()
        if self.device == "cpu" and free is not None and self.memory > free:
            text += f" Only {free / 1e9:.1f} GB are free: close other programs or segment a region only."
        return text


def forecast(geometry, model, card, settings, warm=False):
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


def knownSpeed(model, device):
    """Pixels per second of the last run of this model on this device, or None."""
    try:
        return float(qt.QSettings().value(_key(model, device))) or None
    except (TypeError, ValueError):
        return None


def rememberSpeed(model, device, pixels, seconds):
    """Remembers the speed of a run on this computer."""
    if pixels > 0 and seconds > 0:
        qt.QSettings().setValue(_key(model, device), pixels / seconds)


def roughTime(seconds):
    """Seconds as a person says them."""
    if seconds < 90:
        return f"about {max(1, round(seconds))} s"
    return f"about {round(seconds / 60)} min" if seconds < 5400 else f"about {seconds / 3600:.1f} h"


def _key(model, device):
    return f"KAFSegmentation/PixelsPerSecond/{device}-{workerThreads()}/{model}"
