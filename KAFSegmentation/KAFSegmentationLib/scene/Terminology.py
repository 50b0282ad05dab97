"""The codes of the models' structures, given to Slicer so that it shows their names wherever it shows terminology."""

import logging
from pathlib import Path

import slicer

FILE = Path(__file__).resolve().parents[2] / "Resources" / "KAFSegmentation.term.json"


def loadTerminology() -> str:
    """For ``slicer.app.connect("startupCompleted()", loadTerminology)``; returns the name of the context, or ""."""
    module = getattr(slicer.modules, "terminologies", None)
    if module is None:  # a Slicer that was built or started without it; segments keep their names and colours
        return ""
    context = module.logic().LoadTerminologyFromFile(str(FILE))
    if not context:
        logging.warning("The terminology of KAF could not be read from %s.", FILE)
    return context or ""
