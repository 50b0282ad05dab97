"""KAF: keypoint-augmented segmentation.

``import kaf`` is cheap and does not load torch; the verbs are imported when they are first used::

    import kaf
    result = kaf.segment("scan.nii.gz", kaf.SegmentSettings(model="cardiac-mr-sax"))
"""

from __future__ import annotations

import importlib
from typing import Any

from kaf._version import __version__

# name -> module that defines it; resolved on first use so that the import stays free of torch.
_PUBLIC = {
    "segment": "kaf.segment",
    "explain": "kaf.explain",
    "finetune": "kaf.finetune",
    "evaluate": "kaf.evaluate",
    "read_volume": "kaf.volume",
    "Volume": "kaf.volume",
    "SegmentSettings": "kaf.settings",
    "ExplainSettings": "kaf.settings",
    "FinetuneSettings": "kaf.settings",
    "EvaluateSettings": "kaf.settings",
    "KafError": "kaf.errors",
}
__all__ = ["__version__", *sorted(_PUBLIC)]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'kaf' has no attribute {name!r}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)
