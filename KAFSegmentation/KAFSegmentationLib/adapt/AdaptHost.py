"""What the section Correct and adapt needs of the panel that it is a part of, as a type."""

from __future__ import annotations

from typing import Protocol


class AdaptHost(Protocol):
    """What is shared with segmenting."""

    def makeReady(self) -> bool:
        """Sets up what is missing; whether all is there then."""

    def update(self) -> None:
        """A run has started or ended."""

    def runsChanged(self) -> None:
        """A run, or a question to the model, may have begun or ended."""

    def clearMessage(self) -> None:
        """The result that the panel reports has been replaced."""

    def refreshModels(self) -> None:
        """The library has a new model."""
