"""Questions to a person. In batch mode and in Slicer's own tests nobody is there to answer, and nothing is asked."""

import qt
import slicer

CANCEL = "cancel"


def mayAsk():
    """Whether somebody is there to answer."""
    return slicer.util.mainWindow() is not None and not slicer.app.testingEnabled()


def ask(parent, title, text, answers):
    """The answer to a question with several ways to go on; CANCEL among them if that, or nothing, was pressed.

    Args:
        text: shown as it is written; names of scans and files may look like anything.
        answers: answer -> words on its button; the first one is taken by Return.
    """
    box = qt.QMessageBox(parent)
    box.setWindowTitle(title)
    box.setIcon(qt.QMessageBox.Question)
    box.setTextFormat(qt.Qt.PlainText)
    box.setText(text)
    buttons = [(answer, box.addButton(words, qt.QMessageBox.AcceptRole)) for answer, words in answers.items()]
    buttons.append((CANCEL, box.addButton("Cancel", qt.QMessageBox.RejectRole)))
    box.setDefaultButton(buttons[0][1])
    box.setEscapeButton(buttons[-1][1])
    box.exec_()
    pressed = box.clickedButton()
    box.deleteLater()
    return next((answer for answer, button in buttons if button == pressed), CANCEL)
