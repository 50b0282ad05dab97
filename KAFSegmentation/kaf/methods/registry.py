"""Names -> methods."""

from __future__ import annotations

from typing import Any

from kaf.methods.base import Method
from kaf.methods.bim import Bim
from kaf.methods.contrast import SliceContrast
from kaf.methods.kaf import Kaf
from kaf.methods.lrc import Lrc
from kaf.methods.mae import Mae
from kaf.methods.pgl import Pgl

METHODS: dict[str, type[Any]] = {
    "kaf": Kaf, "pcl": SliceContrast, "simclr": SliceContrast, "pgl": Pgl, "lrc": Lrc, "bim": Bim, "mae": Mae}


def make_method(name: str, settings: Any, network: Any) -> Method:
    """The method ``name`` with its settings, for a network with these settings."""
    method: Method = METHODS[name](settings, network)
    return method
