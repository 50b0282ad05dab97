"""The Reload button of developers: both modules, their libraries and kaf, since one would not fit the other."""

from __future__ import annotations

import sys

import slicer
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleWidget

_PARTS = {"KAFSegmentation": "segmentation", "KAFPretrain": "pretraining"}  # None once it was taken apart
_PACKAGES = ("KAFPretrainLib", "KAFSegmentationLib", "kaf")


def reloadModules() -> None:
    """Takes both panels apart, forgets the packages, and opens the panels that there were again."""
    panels = [widget for name, part in _PARTS.items()
              if getattr(widget := getattr(slicer.modules, f"{name}Widget", None), part, None) is not None]
    for widget in panels:
        widget.cleanup()  # the worker and the jobs end by the code that started them
    for name in [name for name in sys.modules if name.partition(".")[0] in _PACKAGES]:
        del sys.modules[name]
    for widget in panels:
        ScriptedLoadableModuleWidget.onReload(widget)
