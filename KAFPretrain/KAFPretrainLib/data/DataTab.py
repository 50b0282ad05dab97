"""The tab Data: a folder of scans, what was understood of it, and who trains, validates and is tested."""

from pathlib import Path

import qt

from kaf.data.splits import Split
from kaf.runtime.errors import Cancelled, InputError, KafError
from kaf.runtime.events import Progress
from KAFPretrainLib.data.Inspection import Inspection
from KAFPretrainLib.data.PatientSplit import checkSplit, drawSplit, patientTip, splitSummary
from KAFPretrainLib.data.ScanOpener import openCase
from KAFPretrainLib.runs.Lineage import realFolder
from KAFPretrainLib.runs.ShortJob import ShortJob
from KAFPretrainLib.widgets import Folders
from KAFPretrainLib.widgets.BackgroundTask import BackgroundTask
from KAFPretrainLib.widgets.FileDialogs import askFolder, askOpen, askSave
from KAFPretrainLib.widgets.PathField import PathField
from KAFPretrainLib.widgets.Tables import fillTable, fitColumns, setUpTable
from KAFSegmentationLib.widgets.PlainText import rich, tip

COLUMNS = ("Case", "Patient", "Part", "Labels", "Problem", "Size", "Spacing (mm)")
_START = "Choose a folder of scans to begin."
_FOLDER, _FILE, _NOTHING, _UNKNOWN = "folder", "file", "nothing", "unknown"  # what a path leads to


class DataTab:
    """Args:
        ui: the widgets of the .ui file.
        panel: has ``makeReady``, ``setup``, ``message``, ``parameters``, ``onDataChanged`` and ``refreshRuns``.
    """

    def __init__(self, ui, panel):
        self.ui, self._panel = ui, panel
        self.inspection = self.split = None
        self.realFolder = None
        """The folder of scans itself, by whatever link it was named; None where it is not known yet."""
        self._job = self._loadedSplit = None
        self._filling = self._isForFolder = False
        self._place, self._background = _UNKNOWN, BackgroundTask()
        self._dataField = PathField(ui.dataPath, self._onPath, self._onTyped)
        self._runsField = PathField(ui.runsPath, self._onRunsPath)
        setUpTable(ui.caseTable, COLUMNS)
        ui.scanProgressBar.visible = False
        ui.scanButton.connect("clicked()", self.onScan)
        ui.exampleButton.connect("clicked()", self.onExample)
        ui.caseTable.connect("cellDoubleClicked(int,int)", self._onOpen)
        for spin in (ui.validationShareSpinBox, ui.testShareSpinBox, ui.splitSeedSpinBox):
            spin.connect("valueChanged(int)", self._onShares)
        ui.saveSplitButton.connect("clicked()", self.onSaveSplit)
        ui.loadSplitButton.connect("clicked()", self.onLoadSplit)

    @property
    def folder(self):
        """The folder of scans, or nothing."""
        return self._dataField.path

    @property
    def isScanning(self):
        return self._job is not None

    @property
    def isLooking(self):
        """Whether it is not known yet where the path leads."""
        return self._background.isRunning

    def enter(self):
        """The panel is opened: the folders of the last time stand there."""
        self.settle()
        self._dataField.show(Folders.dataFolder() or self.folder)  # the widget shows the last one that was looked into
        self._runsField.show(Folders.runsFolder())
        self._lookWhereItLeads()

    def settle(self):
        """Takes the paths as they stand, of somebody who goes on at once."""
        self._dataField.settle()
        self._runsField.settle()

    def close(self):
        """The panel is taken apart."""
        for part in (self._dataField, self._runsField, self._background):
            part.close()
        if self._job is not None:
            self._job.close()
            self._job = None

    def onScan(self):
        """Looks into the folder, or stops looking."""
        if self._job is not None:
            self._job.cancel()
            return
        if not self._panel.makeReady():
            return
        self.inspection = self.split = self._loadedSplit = None
        self._isForFolder = True
        self.ui.scanProgressBar.maximum = 0
        self._job = ShortJob(self._panel.setup.python(), ["data", "scan", self.folder], self._onEvent, self._onDone)
        self.update()

    def onExample(self):
        """Makes up a folder of hearts, and looks into it."""
        if not self._panel.makeReady():
            return
        path = askFolder(self.ui.dataTab, "A folder for made-up hearts", str(Path.home()))
        if not path:
            return
        folder = Folders.newFolder(path, "KAF example")
        self._isForFolder = False
        self.ui.scanProgressBar.maximum = 0
        self._job = ShortJob(self._panel.setup.python(), ["data", "example", folder], self._onEvent,
                             lambda values, error: self._onExampleMade(folder, error))
        self.update()

    def onSaveSplit(self):
        """Writes the patients of each part."""
        path = askSave(self.ui.dataTab, "Save the split", str(Path(Folders.runsFolder()) / "split.json"),
                       "Splits (*.json)")
        if not path:
            return
        try:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            self.split.save(path)
        except (KafError, OSError) as error:
            self._panel.message.showError(error)
            return
        self._panel.message.show(f"The split is saved in {path}.", "done")

    def onLoadSplit(self):
        """Takes the patients of each part from a file."""
        path = askOpen(self.ui.dataTab, "Load a split", Folders.runsFolder(), "Splits (*.json)")
        if not path:
            return
        try:
            split = Split.load(path)
            checkSplit(split, self.inspection.patients, path)
        except KafError as error:
            self._panel.message.showError(error)
            return
        self._loadedSplit = split
        self._panel.message.show(f"The split is that of {path}.", "done")
        self._takeSplit()

    def update(self):
        """What can be done now."""
        scanning, known = self._job is not None, self.inspection is not None
        isFolder = self._place == _FOLDER
        self.ui.scanButton.text = "Stop" if scanning else "Look into the folder"
        self.ui.scanButton.enabled = scanning or isFolder
        self.ui.scanProgressBar.visible = scanning
        self.ui.exampleButton.visible = not scanning and not known
        self.ui.loadSplitButton.enabled = known
        self.ui.saveSplitButton.enabled = self.split is not None
        if scanning:
            self.ui.understoodLabel.text = "Reads every scan once, beside Slicer…"
        elif not known:
            self.ui.understoodLabel.text = rich(self._placeWords())
        else:
            self.ui.understoodLabel.text = self.inspection.words()
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
            self._panel.message.showError(error)
            self.update()
            return
        self._dataField.show(str(folder))
        Folders.setDataFolder(str(folder))
        self._lookWhereItLeads()
        self.onScan()

    def _onEvent(self, event):
        if isinstance(event, Progress) and event.total:
            self.ui.scanProgressBar.maximum = int(event.total)
            self.ui.scanProgressBar.value = int(event.done)
            self.ui.scanProgressBar.format = f"{int(event.done)} of {int(event.total)} scans"

    def _onDone(self, values, error):
        self._job = None
        if isinstance(error, Cancelled):
            self._panel.message.show("Stopped looking into the folder.")
        elif error is not None:
            self._panel.message.showError(error)
        else:
            self.inspection = Inspection.of(values)
            self._dataField.remember()
            self._panel.message.clear()
        self._takeSplit()
        if self.inspection is not None:
            fitColumns(self.ui.caseTable)

    def _takeSplit(self):
        """The split of the file, or one that is drawn now; then all that follows from it."""
        self.split = self._loadedSplit
        if self.inspection is not None and self.split is None:
            numbers = self._panel.parameters
            try:
                self.split = drawSplit(self.inspection.patients, self.inspection.labelledPatients,
                                       numbers.validationShare / 100, numbers.testShare / 100, numbers.splitSeed)
            except InputError as error:
                self._panel.message.showError(error)
        fillTable(self.ui.caseTable, self.inspection.rows(self.split) if self.inspection is not None else [])
        self.update()
        self._panel.onDataChanged()

    def _onShares(self, value):
        if self._panel.parameters is not None and self.inspection is not None and not self._filling:
            self._loadedSplit = None
            qt.QTimer.singleShot(0, self._takeSplit)  # when the parameter node has the new number, too

    def _onTyped(self):
        """The path is being changed: nothing that is known is about this one."""
        if self._job is not None and self._isForFolder:
            self._job.close()
            self._job = None
        self._background.close()
        self._place, self.realFolder = _UNKNOWN, None
        self.inspection = self.split = self._loadedSplit = None
        fillTable(self.ui.caseTable, [])
        self.update()
        self._panel.onDataChanged()

    def _onPath(self, path):
        Folders.setDataFolder(path)
        self._lookWhereItLeads()

    def _onRunsPath(self, path):
        if path:
            Folders.setRunsFolder(path)
            self._panel.refreshRuns()

    def _lookWhereItLeads(self):
        path = self.folder
        self._place = _UNKNOWN
        self._background.start(lambda: (_place(path), realFolder(path)), self._onPlace)
        self.update()

    def _onPlace(self, seen):
        self._place, self.realFolder = seen
        self.update()
        self._panel.update()

    def _placeWords(self):
        return _START if not self.folder else {
            _FOLDER: "Press the button: every scan is read once, and nothing is changed.",
            _FILE: f"{self.folder} is a file: choose the folder that holds it.",
            _NOTHING: f"There is no folder {self.folder}: check the path, and that its disk is connected.",
            _UNKNOWN: f"Looks where {self.folder} leads…"}[self._place]

    def _onOpen(self, row, column):
        case = self.inspection.cases[row]
        try:
            openCase(case.image, case.label or "", name=case.name)
        except KafError as error:
            self._panel.message.showError(error)


def _place(path):
    """What a path leads to."""
    try:
        place = Path(path)
        return _NOTHING if not path else _FOLDER if place.is_dir() else _FILE if place.exists() else _NOTHING
    except (OSError, ValueError):  # not even a path: a NUL in it, a name that is too long
        return _NOTHING
