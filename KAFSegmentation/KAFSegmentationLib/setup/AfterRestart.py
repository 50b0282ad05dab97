"""What a set-up does when Slicer was restarted in the middle of it."""

from __future__ import annotations

import slicer

from KAFSegmentationLib.setup.SetupSettings import SetupSettings


def continueSetup() -> None:
    """Opens KAF Segmentation, where the set-up goes on; for ``slicer.app.connect("startupCompleted()", ...)``."""
    if SetupSettings().isPending() and slicer.util.mainWindow() is not None and not slicer.app.testingEnabled():
        slicer.util.selectModule("KAFSegmentation")
