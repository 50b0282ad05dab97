"""The questions that set-up asks, and the window that says what it is doing."""

from __future__ import annotations

import qt
import slicer
from slicer.i18n import tr as _

from KAFSegmentationLib.setup.Setup import FOLDER, INSTALL, OTHER_PYTHON
from KAFSegmentationLib.setup.SetupPlan import SetupPlan, megabytes
from KAFSegmentationLib.widgets.PlainText import box, confirm, rich, tellWarning, tip

DECLINED = ""


class SetupDialogs:
    """Qt's part of set-up; everything that can wait for a person goes through here."""

    def __init__(self, parent: qt.QWidget | None = None):
        self.parent = parent
        self._busy = None

    def mayAsk(self) -> bool:
        """False in batch mode and in tests, where a dialog would wait for nobody."""
        return slicer.util.mainWindow() is not None and not slicer.app.testingEnabled()

    def askConsent(self, plan: SetupPlan, where: str) -> str:
        """INSTALL, FOLDER, OTHER_PYTHON or DECLINED; ``where`` names the folder that packages go to."""
        question = box(self._owner(), _("Set up KAF Segmentation"), qt.Qt.RichText)
        question.setText(_("<b>KAF Segmentation needs some Python packages. Install them now?</b>"))
        question.setInformativeText(consentText(plan, where))
        choices = [(FOLDER, _("From a folder..."), qt.QMessageBox.ActionRole),
                   (OTHER_PYTHON, _("Use another Python..."), qt.QMessageBox.ActionRole),
                   (DECLINED, _("Cancel"), qt.QMessageBox.RejectRole)]
        if not plan.obstacle:
            choices.insert(0, (INSTALL, _("Install"), qt.QMessageBox.AcceptRole))
        buttons = [(answer, question.addButton(text, role)) for answer, text, role in choices]
        question.setDefaultButton(buttons[0][1])
        question.setEscapeButton(buttons[-1][1])
        question.exec_()
        pressed = question.clickedButton()
        answer = next((meaning for meaning, button in buttons if button == pressed), DECLINED)
        question.deleteLater()
        return answer

    def chooseFolder(self) -> str:
        """A folder with wheels, and model files if any; empty if none was chosen."""
        return qt.QFileDialog.getExistingDirectory(self._owner(), _("Choose a folder with wheels (and model files)"))

    def choosePython(self) -> str:
        """An interpreter; empty if none was chosen."""
        chosen = qt.QFileDialog.getOpenFileName(
            self._owner(), _("Choose a Python 3.10 or newer that has KAF's packages (python, or python.exe)"))
        return chosen[0] if isinstance(chosen, tuple) else chosen  # PythonQt gives the path alone

    def confirmRestart(self) -> bool:
        """Whether to restart Slicer now."""
        return confirm(
            _("The PyTorch extension is installed, and Slicer must be restarted to use it.\n\n"
              "The set-up continues by itself after that. Save your work first. Restart now?"),
            _("Set up KAF Segmentation"), self._owner())

    def tell(self, text: str, detail: str = "") -> None:
        """A message; in batch mode a line in the log."""
        tellWarning(text, _("Set up KAF Segmentation"), self._owner(), detail[-20000:])

    def showBusy(self, text: str) -> None:
        """Says what is going on, in a window that keeps hands off the rest; nothing in batch mode."""
        if not self.mayAsk():
            return
        if self._busy is None:
            self._busy = qt.QProgressDialog(self._owner())
            self._busy.setWindowTitle(_("Set up KAF Segmentation"))
            self._busy.setWindowModality(qt.Qt.ApplicationModal)
            self._busy.setCancelButton(None)  # pip cannot be stopped half way without breaking something
            self._busy.setMinimumDuration(0)
            self._busy.setMinimumWidth(420)
            self._busy.setRange(0, 0)
        self._busy.setLabelText(tip(text))
        self._busy.show()
        slicer.app.processEvents()

    def hideBusy(self) -> None:
        """Takes that window away."""
        if self._busy is not None:
            self._busy.hide()
            self._busy.deleteLater()
            self._busy = None

    def _owner(self):
        return self.parent if self.parent is not None else slicer.util.mainWindow()


def consentText(plan: SetupPlan, where: str) -> str:
    """What will be installed, what for and how large it is, as rich text."""
    cells = "".join(
        f"<tr><td>{what}&nbsp;&nbsp;</td><td>{purpose}&nbsp;&nbsp;</td><td align='right'>{megabytes(down)}"
        f"&nbsp;&nbsp;</td><td align='right'>{megabytes(disk)}</td></tr>"
        for what, purpose, down, disk in plan.rows())
    total = (f"<tr><td><b>{_('Total, about')}</b></td><td></td><td align='right'><b>{megabytes(plan.downloadMegabytes)}"
             f"</b>&nbsp;&nbsp;</td><td align='right'><b>{megabytes(plan.diskMegabytes)}</b></td></tr>")
    notes = [f"<b>{rich(plan.obstacle)}.</b>"] if plan.obstacle else []
    if plan.needsTorch and plan.hasGpu:
        notes.append(_("An NVIDIA GPU was found: PyTorch is installed with CUDA, which makes it large."))
    if plan.needsTorch and not plan.hasExtension:
        notes.append(_("The PyTorch extension is installed first. Slicer then has to restart once."))
    if plan.torchState == "broken":
        notes.append(_("The remains of an interrupted PyTorch installation are removed first."))
    text = _("The packages are installed in {folder}. No package that comes with Slicer is replaced.")
    notes.append(text.format(folder=rich(where)))
    head = f"<tr><th align='left'>{_('Package')}</th><th></th><th align='right'>{_('Download')}&nbsp;&nbsp;</th>" \
           f"<th align='right'>{_('On disk')}</th></tr>"
    return f"<table>{head}{cells}{total}</table>" + "".join(f"<p>{note}</p>" for note in notes)
