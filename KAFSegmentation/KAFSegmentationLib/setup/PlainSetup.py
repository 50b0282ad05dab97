"""The interpreter that is there, as it is: for scripts, which must never be asked anything."""

import importlib.util

from KAFSegmentationLib.backend.Backend import slicerPython


class PlainSetup:
    """Runs the worker with Slicer's own Python and installs nothing.

    Args:
        python: another interpreter to use.
    """

    def __init__(self, python: str = ""):
        self._python = python

    def isReady(self) -> bool:
        """Whether torch can be found; of another interpreter nothing is known until it starts."""
        return bool(self._python) or importlib.util.find_spec("torch") is not None

    def python(self) -> str:
        """The interpreter for the worker."""
        return self._python or slicerPython()

    def run(self) -> bool:
        """Nothing to do; returns whether it is ready."""
        return self.isReady()
