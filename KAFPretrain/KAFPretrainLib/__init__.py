"""The Slicer side of KAF's pretraining: the panel over runs that are processes of their own. No torch."""

from .Curves import Curves
from .Inspection import Inspection
from .PretrainWidget import PretrainWidget
from .RunStory import RunStory

__all__ = ["Curves", "Inspection", "PretrainWidget", "RunStory"]
