"""What the parts of *Correct and adapt* need of the section that holds them."""

from __future__ import annotations

from typing import Protocol

from kaf.modelfile.card import Card
from KAFSegmentationLib.adapt.ExampleList import ExampleList
from KAFSegmentationLib.adapt.StructureChoice import StructureChoice
from KAFSegmentationLib.widgets.Parameters import Parameters


class Section(Protocol):
    """The scan, the model, the finished slices and the structures, and the questions before something is written."""

    parameters: Parameters | None
    card: Card | None
    examples: ExampleList
    structures: StructureChoice

    def makeReady(self) -> bool:
        """Sets up what is missing; whether all is there then."""

    def mayWrite(self, title: str) -> bool:
        """Whether the segmentation may be written; asks, under a title, if need be."""

    def isConfirmed(self) -> bool:
        """Whether a person has agreed that the segmentation may be another scan's."""
