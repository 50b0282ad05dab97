"""Questions to a person. In batch mode and in Slicer's own tests nobody is there to answer, and nothing is asked."""

import qt
import slicer

from KAFSegmentationLib.widgets.PlainText import box

CANCEL = "cancel"


def mayAsk():
    """Whether somebody is there to answer."""
    return slicer.util.mainWindow() is not None and not slicer.app.testingEnabled()


def ask(parent, title, text, answers, default):
    """The answer to a question with several ways to go on; CANCEL among them if that, or nothing, was pressed.

    Args:
        text: shown as it is written; names of scans and files may look like anything.
        answers: answer -> words on its button.
        default: the answer that Return gives: what can do no harm.
    """
    question = box(parent, title)
    question.setText(text)
    buttons = [(answer, question.addButton(words, qt.QMessageBox.AcceptRole)) for answer, words in answers.items()]
    buttons.append((CANCEL, question.addButton("Cancel", qt.QMessageBox.RejectRole)))
    question.setDefaultButton(dict(buttons)[default])
    question.setEscapeButton(buttons[-1][1])
    question.exec_()
    pressed = question.clickedButton()
    question.deleteLater()
    return next((answer for answer, button in buttons if button == pressed), CANCEL)
