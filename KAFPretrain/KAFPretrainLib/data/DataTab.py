"""The Data tab: a folder of scans, what was found in it, and the split into training, validation and test patients."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import qt
from slicer.i18n import tr as _

from kaf.data.splits import Split
from kaf.runtime.errors import Cancelled, InputError, KafError
from kaf.runtime.events import Progress
from KAFPretrainLib.data.Inspection import Inspection
from KAFPretrainLib.data.PatientSplit import checkSplit, drawSplit, patientTip, splitSummary
from KAFPretrainLib.data.ScanOpener import openCase
from KAFPretrainLib.runs.Lineage import realFolder
from KAFPretrainLib.widgets import Folders
from KAFPretrainLib.widgets.Interfaces import Services
from KAFPretrainLib.widgets.PathField import PathField
from KAFSegmentationLib.backend.ShortJob import ShortJob
from KAFSegmentationLib.widgets.BackgroundTask import BackgroundTask
from KAFSegmentationLib.widgets.FileDialogs import askFolder, askOpen, askSave
from KAFSegmentationLib.widgets.PlainText import rich, tip
from KAFSegmentationLib.widgets.Tables import fillTable, fitColumns, setUpTable

EXAMPLE = "KAF example"  # the name of a folder
_WIDEST = 140  # pixels of a column
_FOLDER, _FILE, _NOTHING, _UNKNOWN = "folder", "file", "nothing", "unknown"  # what a path leads to


class DataTab:
    """Args:
        ui: the widgets of the .ui file.
        services: what every part may use.
        onChanged: called when the folder, what is known of it, or the split has changed.
        onPathChecked: called when it is known where a path that was typed leads.
        onRunsFolder: called when another output folder was chosen.
    """

    def __init__(self, ui: SimpleNamespace, services: Services, onChanged: Callable[[], None],
                 onPathChecked: Callable[[], None], onRunsFolder: Callable[[], None]):
        self.ui, self._services = ui, services
        self._onChanged, self._onPathChecked, self._onRunsFolder = onChanged, onPathChecked, onRunsFolder
        self.inspection: Inspection | None = None
        self.split: Split | None = None
        self.realFolder: Path | None = None
        """The folder of scans itself, by whatever link it was named; None where it is not known yet."""
        self._job = self._loadedSplit = None
        self._isForFolder = False
        self._pathKind, self._pathCheck = _UNKNOWN, BackgroundTask()
        self._dataField = PathField(ui.dataPath, self._onPath, self._onTyped)
        self._runsField = PathField(ui.runsPath, self._onRunsPath)
        ui.scanProgressBar.visible = False
        ui.scanButton.connect("clicked()", self.onScan)
        ui.exampleButton.connect("clicked()", self.onExample)
        ui.caseTable.connect("cellDoubleClicked(int,int)", self._onOpen)
        for spin in (ui.validationShareSpinBox, ui.testShareSpinBox, ui.splitSeedSpinBox):
            spin.connect("valueChanged(int)", self._onShares)
        ui.saveSplitButton.connect("clicked()", self.onSaveSplit)
        ui.loadSplitButton.connect("clicked()", self.onLoadSplit)

    @property
    def folder(self) -> str:
        """The folder of scans, or nothing."""
        return self._dataField.path

    @property
    def isScanning(self) -> bool:
        """Whether the scans are being read."""
        return self._job is not None

    @property
    def isCheckingPath(self) -> bool:
        """Whether it is not known yet where the path leads."""
        return self._pathCheck.isRunning

    def enter(self) -> None:
        """The panel is opened: shows the folders of the last session."""
        self.settle()
        self._dataField.show(Folders.dataFolder() or self.folder)  # the widget shows the last one that was scanned
        self._runsField.show(Folders.runsFolder())
        self._checkPath()

    def settle(self) -> None:
        """Takes the paths as they stand, for whoever presses a button right after typing."""
        self._dataField.settle()
        self._runsField.settle()

    def close(self) -> None:
        """The panel is closed for good."""
        for part in (self._dataField, self._runsField, self._pathCheck):
            part.close()
        if self._job is not None:
            self._job.close()
            self._job = None

    def onScan(self) -> None:
        """Reads every scan of the folder, or stops reading."""
        if self._job is not None:
            self._job.cancel()
            return
        if not self._services.makeReady():
            return
        self.inspection = self.split = self._loadedSplit = None
        self._isForFolder = True
        self.ui.scanProgressBar.maximum = 0
        self._job = ShortJob(self._services.setup.python(), ["data", "scan", self.folder], self._onEvent, self._onDone)
        self.update()

    def onExample(self) -> None:
        """Generates a folder of synthetic hearts, and scans it."""
        if not self._services.makeReady():
            return
        path = askFolder(self.ui.dataTab, _("Choose a folder for the synthetic hearts"), str(Path.home()))
        if not path:
            return
        folder = Folders.newFolder(path, EXAMPLE)
        self._isForFolder = False
        self.ui.scanProgressBar.maximum = 0
        self._job = ShortJob(self._services.setup.python(), ["data", "example", folder], self._onEvent,
                             lambda values, error: self._onExampleMade(folder, error))
        self.update()

    def onSaveSplit(self) -> None:
        """Writes the patients of each part to a file."""
        path = askSave(self.ui.dataTab, _("Save split"), str(Path(Folders.runsFolder()) / "split.json"),
                       _("Splits (*.json)"))
        if not path or self.split is None:
            return
        try:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            self.split.save(path)
        except (KafError, OSError) as error:
            self._services.message.showError(error)
            return
        self._services.message.show(_("The split was saved to {path}.").format(path=path), "done")

    def onLoadSplit(self) -> None:
        """Takes the patients of each part from a file."""
        path = askOpen(self.ui.dataTab, _("Load split"), Folders.runsFolder(), _("Splits (*.json)"))
        if not path or self.inspection is None:
            return
        try:
            split = Split.load(path)
            checkSplit(split, self.inspection.patients, path)
        except KafError as error:
            self._services.message.showError(error)
            return
        self._loadedSplit = split
        self._services.message.show(_("The split was loaded from {path}.").format(path=path), "done")
        self._takeSplit()

    def update(self) -> None:
        """Shows what is known, and what can be done now."""
        scanning, known = self._job is not None, self.inspection is not None
        self.ui.scanButton.text = _("Stop") if scanning else _("Scan folder")
        self.ui.scanButton.enabled = scanning or self._pathKind == _FOLDER
        self.ui.scanProgressBar.visible = scanning
        self.ui.exampleButton.visible = not scanning and not known
        self.ui.loadSplitButton.enabled = known
        self.ui.saveSplitButton.enabled = self.split is not None
        if scanning:
            self.ui.understoodLabel.text = rich(_("Reading every scan once, in a separate process…"))
        else:
            self.ui.understoodLabel.text = self.inspection.summary() if known else rich(self._pathText())
        warning = self.inspection.warning() if known else ""
        self.ui.problemsLabel.text = warning
        self.ui.problemsLabel.visible = bool(warning)
        self.ui.caseTable.visible = known
        self.ui.splitSection.enabled = known
        self.ui.splitLabel.text = splitSummary(self.split, self.inspection.patients if known else ())
        self.ui.splitLabel.toolTip = tip(patientTip(self.split))

    def _onExampleMade(self, folder, error):
        self._job = None
        if error is not None:
            self._services.message.showError(error)
            self.update()
            return
        self._dataField.show(str(folder))
        Folders.setDataFolder(str(folder))
        self._checkPath()
        self.onScan()

    def _onEvent(self, event):
        if isinstance(event, Progress) and event.total:
            self.ui.scanProgressBar.maximum = int(event.total)
            self.ui.scanProgressBar.value = int(event.done)
            self.ui.scanProgressBar.format = _("{done} of {total} scans").format(done=int(event.done),
                                                                                total=int(event.total))

    def _onDone(self, values, error):
        self._job = None
        if isinstance(error, Cancelled):
            self._services.message.show(_("Scanning was stopped."))
        elif error is not None:
            self._services.message.showError(error)
        else:
            self.inspection = Inspection.of(values)
            self._dataField.remember()
            self._services.message.clear()
        self._takeSplit()

    def _takeSplit(self):
        """The split of the file, or one that is drawn now; then all that follows from it."""
        self.split = self._loadedSplit
        if self.inspection is not None and self.split is None:
            numbers = self._services.parameters()
            try:
                self.split = drawSplit(self.inspection.patients, self.inspection.labelledPatients,
                                       numbers.validationShare / 100, numbers.testShare / 100, numbers.splitSeed)
            except InputError as error:
                self._services.message.showError(error)
        self._showCases()
        self.update()
        self._onChanged()

    def _showCases(self):
        titles, rows = self.inspection.table(self.split) if self.inspection is not None else ([], [])
        setUpTable(self.ui.caseTable, titles)
        fillTable(self.ui.caseTable, rows)
        fitColumns(self.ui.caseTable, _WIDEST)

    def _onShares(self, value):
        if self._services.parameters() is not None and self.inspection is not None:
            self._loadedSplit = None
            qt.QTimer.singleShot(0, self._takeSplit)  # when the parameter node has the new number, too

    def _onTyped(self):
        """The path is being changed: nothing that is known is about this one."""
        if self._job is not None and self._isForFolder:
            self._job.close()
            self._job = None
        self._pathCheck.close()
        self._pathKind, self.realFolder = _UNKNOWN, None
        self.inspection = self.split = self._loadedSplit = None
        fillTable(self.ui.caseTable, [])
        self.update()
        self._onChanged()

    def _onPath(self, path):
        Folders.setDataFolder(path)
        self._checkPath()

    def _onRunsPath(self, path):
        if path:
            Folders.setRunsFolder(path)
            self._onRunsFolder()

    def _checkPath(self):
        path = self.folder
        self._pathKind = _UNKNOWN
        self._pathCheck.start(lambda: (_kindOf(path), realFolder(path)), self._onPathKind)
        self.update()

    def _onPathKind(self, found):
        self._pathKind, self.realFolder = found
        self.update()
        self._onPathChecked()

    def _pathText(self):
        if not self.folder:
            return _("Choose a folder of scans to begin.")
        return {
            _FOLDER: _("Press Scan folder: every scan is read once, and nothing is changed."),
            _FILE: _("{path} is a file. Choose the folder that contains it."),
            _NOTHING: _("The folder {path} does not exist. Check the path, and that its drive is connected."),
            _UNKNOWN: _("Checking {path}…")}[self._pathKind].format(path=self.folder)

    def _onOpen(self, row, column):
        case = self.inspection.inOrder[row]
        try:
            openCase(case.image, case.label or "", name=case.name, drawing=case.drawing)
        except KafError as error:
            self._services.message.showError(error)


def _kindOf(path):
    """What a path leads to."""
    try:
        place = Path(path)
        return _NOTHING if not path else _FOLDER if place.is_dir() else _FILE if place.exists() else _NOTHING
    except (OSError, ValueError):  # not even a path: a NUL in it, a name that is too long
        return _NOTHING
