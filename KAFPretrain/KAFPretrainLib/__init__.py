"""The Slicer side of KAF's pretraining: the panel over runs that are processes of their own. No torch."""

from KAFPretrainLib.data.Inspection import Inspection
from KAFPretrainLib.PretrainWidget import PretrainWidget
from KAFPretrainLib.runs.Curves import Curves
from KAFPretrainLib.runs.RunSummary import RunSummary

__all__ = ["Curves", "Inspection", "PretrainWidget", "RunSummary"]
