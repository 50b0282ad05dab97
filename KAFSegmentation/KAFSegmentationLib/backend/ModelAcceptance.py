"""The question before a model enters the library that did not beat a constant prediction."""

from __future__ import annotations

from pathlib import Path

import qt
from slicer.i18n import tr as _

from kaf.modelfile import library
from kaf.modelfile.card import read_card
from kaf.runtime.errors import ModelError, UnprovenModelError
from KAFSegmentationLib.widgets.PlainText import confirm


def confirmAcceptance(path: str | Path, parent: qt.QWidget | None) -> bool:
    """Whether this model file may enter the library: a person is asked where its own card says that it was not shown
    to be worth anything. What else is wrong with the file is said by whoever adds it."""
    try:
        library.check_proven(read_card(path))
    except UnprovenModelError as error:
        question = _("{reason}\n\nAdd this model to the library anyway?")
        return confirm(question.format(reason=f"{error.subject}: {error.reason}."), _("Add model"), parent)
    except ModelError:
        return True
    return True
