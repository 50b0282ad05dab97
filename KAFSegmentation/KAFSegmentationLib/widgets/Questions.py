"""Questions to a person. In batch mode and in Slicer's own tests nobody is there to answer, and nothing is asked."""

from __future__ import annotations

from collections.abc import Mapping

import qt
import slicer
from slicer.i18n import tr as _

from KAFSegmentationLib.widgets.PlainText import box

CANCEL = "cancel"


def mayAsk() -> bool:
    """Whether somebody is there to answer."""
    return slicer.util.mainWindow() is not None and not slicer.app.testingEnabled()


def ask(parent: qt.QWidget | None, title: str, text: str, answers: Mapping[str, str], default: str) -> str:
    """The answer to a question with several ways to go on; CANCEL among them if that, or nothing, was pressed.

    Args:
        text: shown as it is written; names of scans and files may look like anything.
        answers: answer -> text of its button.
        default: the answer that Return gives: what can do no harm.
    """
    question = box(parent, title)
    question.setText(text)
    buttons = [(answer, question.addButton(name, qt.QMessageBox.AcceptRole)) for answer, name in answers.items()]
    buttons.append((CANCEL, question.addButton(_("Cancel"), qt.QMessageBox.RejectRole)))
    question.setDefaultButton(dict(buttons)[default])
    question.setEscapeButton(buttons[-1][1])
    question.exec_()
    pressed = question.clickedButton()
    question.deleteLater()
    return next((answer for answer, button in buttons if button == pressed), CANCEL)
