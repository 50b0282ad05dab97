"""The section of the panel where many scans are segmented, and their results looked through."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import qt
import slicer
from slicer.i18n import tr as _

from kaf.modelfile.card import Card
from kaf.runtime.errors import Cancelled, KafError
from kaf.runtime.events import Progress
from KAFSegmentationLib.backend.LogView import LogView
from KAFSegmentationLib.batch.FolderScans import FolderScans, Job, readCases
from KAFSegmentationLib.batch.Items import CHECK, FAILED, TITLES, Item, ordered
from KAFSegmentationLib.batch.LoadedScans import LoadedScans
from KAFSegmentationLib.segment.SegmentationLogic import SegmentationLogic
from KAFSegmentationLib.segment.SegmentationRun import volumesText
from KAFSegmentationLib.widgets.BackgroundTask import BackgroundTask
from KAFSegmentationLib.widgets.FileDialogs import askFolder
from KAFSegmentationLib.widgets.MessageLine import MessageLine
from KAFSegmentationLib.widgets.Parameters import Parameters
from KAFSegmentationLib.widgets.RunControls import RunControls
from KAFSegmentationLib.widgets.Tables import fillTable, setUpTable

LOADED, FOLDER = range(2)
_SETTING = "KAFSegmentation/ManyScans"
_POLL_MILLISECONDS = 1000
_LEVELS = {FAILED: "error", CHECK: "warning"}


class BatchHost(Protocol):
    """What the section needs of the panel that it is a part of."""

    def makeReady(self) -> bool:
        """Sets up what is missing; whether all is there then."""

    def update(self) -> None:
        """A run has started or ended."""


class ManyScansPanel:
    """Args:
        ui: the widgets of the .ui file.
        logic: segments the loaded scans.
        python: returns the interpreter that has the packages.
        message, log: where the outcome is shown.
        panel: what is shared with segmenting one scan.
    """

    def __init__(self, ui: Any, logic: SegmentationLogic, python: Callable[[], str], message: MessageLine,
                 log: LogView, panel: BatchHost):
        self.ui, self._logic, self._message, self._panel = ui, logic, message, panel
        self.parameters: Parameters | None = None
        self._card: Card | None = None
        self.loaded, self.folder = LoadedScans(logic), FolderScans(python, log)
        self.controls = RunControls(ui.manyStartButton, ui.manyProgressBar, self.start, self.cancel,
                                    _("Segment all"))
        self._cases, self._items, self._search = [], [], BackgroundTask()
        settings = qt.QSettings()
        self._source = settings.value(f"{_SETTING}/Folder") or ""
        self._target = settings.value(f"{_SETTING}/Results") or ""
        for title in (_("All loaded scans"), _("All scans of a folder")):
            ui.manySourceComboBox.addItem(title)
        ui.manySourceComboBox.connect("currentIndexChanged(int)", self._onSource)
        ui.manyFolderButton.connect("clicked()", self._chooseFolder)
        ui.manyResultsButton.connect("clicked()", self._chooseResults)
        ui.manySection.connect("contentsCollapsed(bool)", lambda collapsed: self._onSource())
        ui.manyTable.connect("cellClicked(int,int)", self._onOpen)
        ui.manyTable.verticalHeader().hide()
        setUpTable(ui.manyTable, [_("Scan"), _("State"), _("Volumes")])
        ui.manyTable.horizontalHeader().setSectionResizeMode(0, qt.QHeaderView.ResizeToContents)
        ui.manyTable.horizontalHeader().setSectionResizeMode(1, qt.QHeaderView.ResizeToContents)
        ui.manyTable.horizontalHeader().setSectionResizeMode(2, qt.QHeaderView.Stretch)
        self._timer = qt.QTimer()
        self._timer.setInterval(_POLL_MILLISECONDS)
        self._timer.connect("timeout()", self.refresh)

    @property
    def isRunning(self) -> bool:
        """Whether scans are being segmented here."""
        return self.loaded.isRunning or self.folder.isRunning

    @property
    def isFolder(self) -> bool:
        """Whether the scans of a folder are chosen, not those of the scene."""
        return self.ui.manySourceComboBox.currentIndex == FOLDER

    def start(self) -> None:
        """Segments every scan that has no result yet."""
        if not self._panel.makeReady():
            return
        self._message.clear()
        settings = self._logic.settings(self.parameters)
        try:
            if self.isFolder:
                job = self._job()
                self.folder.start(job, self._onEvent, self._onDone)
                self._timer.start()
            else:
                self.loaded.start(settings, self._onEvent, self.refresh, self._onDone)
        except KafError as error:
            self._message.showError(error)
            return
        if self.isRunning:
            self.controls.start()
        self._panel.update()

    def cancel(self) -> None:
        """Stops; finished results stay."""
        (self.folder if self.folder.isRunning else self.loaded).cancel()

    def close(self) -> None:
        """The panel is taken apart."""
        self._timer.stop()
        self._search.close()
        self.folder.close()
        self.loaded.forget()

    def forget(self) -> None:
        """The scene is closing."""
        isLoaded = self.loaded.isRunning
        self.loaded.forget()
        if isLoaded:
            self.controls.stop()

    def update(self, card: Card | None) -> None:
        """Brings the section in line with the choices of the panel.

        Args:
            card: of the chosen model, or None.
        """
        self._card = card
        if self.ui.manySection.collapsed or self.parameters is None:
            return
        isFolder, running = self.isFolder, self.isRunning
        for widget in (self.ui.manyFolderLabel, self.ui.manyFolderButton, self.ui.manyResultsLabel,
                       self.ui.manyResultsButton):
            widget.visible = isFolder
        for widget in (self.ui.manySourceComboBox, self.ui.manyFolderButton, self.ui.manyResultsButton):
            widget.enabled = not running
        self.ui.manyFolderLabel.text = self._source or _("Choose a folder of scans.")
        self.ui.manyResultsLabel.text = _("Results: {folder}").format(folder=self._results()) if self._source else ""
        self.refresh()

    def refresh(self) -> None:
        """The table, the hint and the button."""
        if self.parameters is None:
            return
        self._items = ordered(self._found())
        fillTable(self.ui.manyTable, [_cells(item) for item in self._items])
        self.ui.manyTable.visible = bool(self._items)
        done = sum(item.isDone for item in self._items)
        problem = self._problem()
        self.ui.manyHintLabel.text = problem or _("Scans: {count}. Done: {done}. Click one that is done to see "
                                                  "it.").format(count=len(self._items), done=done)
        isBusy = self._logic.isRunning() and not self.isRunning
        self.controls.allow(not problem and not isBusy and done < len(self._items),
                            problem or _("Segment every scan that has no result yet"))

    def _found(self) -> list[Item]:
        if self._card is None:
            return []
        return self.folder.items(self._cases, self._job()) if self.isFolder and self._source else \
            [] if self.isFolder else self.loaded.items(self.parameters.modelName)

    def _problem(self):
        if self._card is None or not self._card.labels:
            return _("Choose a model that can segment.")
        if self.isFolder and self._logic.backend.remote() is not None:
            return _("Folders are segmented on this computer: choose a device of this computer under Options.")
        if self.isFolder and not self._source:
            return _("Choose a folder of scans.")
        if not self._items:
            if self._search.isRunning:
                return _("Searching for scans…")
            return _("No scan was found in this folder.") if self.isFolder else _("No scan is loaded.")
        return ""

    def _job(self) -> Job:
        settings = self._logic.settings(self.parameters)
        return Job(Path(self._source), self._results(), self.parameters.modelName, self._card, settings)

    def _results(self) -> Path:
        """The folder for results: the one that was chosen, or one beside the scans."""
        if self._target:
            return Path(self._target)
        source = Path(self._source)
        return source.with_name(f"{source.name}-{self.parameters.modelName}")

    def _onSource(self, index=0):
        if self.isFolder and self._source and not self.ui.manySection.collapsed:
            self._readFolder()
        self.update(self._card)

    def _chooseFolder(self):
        chosen = askFolder(self.ui.manySection, _("Choose a folder of scans"), self._source)
        if chosen:
            self._source, self._target = chosen, ""
            self._remember()
            self._readFolder()
            self.update(self._card)

    def _chooseResults(self):
        chosen = askFolder(self.ui.manySection, _("Choose a folder for the results"), str(self._results().parent))
        if chosen:
            self._target = chosen
            self._remember()
            self.update(self._card)

    def _remember(self):
        """On this computer, not in the scene: paths can say whose scans these are."""
        settings = qt.QSettings()
        settings.setValue(f"{_SETTING}/Folder", self._source)
        settings.setValue(f"{_SETTING}/Results", self._target)

    def _readFolder(self):
        self._cases, source = [], self._source

        def read():
            try:
                return readCases(source), None
            except KafError as error:
                return [], error

        self._search.start(read, self._onRead)

    def _onRead(self, found):
        self._cases, error = found
        if error is not None:
            self._message.showError(error)
        self.refresh()

    def _onEvent(self, event):
        if isinstance(event, Progress):
            self.controls.showProgress(event)

    def _onDone(self, error):
        self._timer.stop()
        self.controls.stop()
        failed = sum(item.state == FAILED for item in self._found())
        if isinstance(error, Cancelled):
            self._message.show(_("Stopped. Finished results are kept; Segment all continues after them."))
        elif error is not None:
            self._message.showError(error)
        elif failed:
            self._message.show(_("Some scans could not be segmented: {count}. They stand first in the table.").format(
                count=failed), "warning")
        else:
            self._message.show(_("All scans are segmented. Those to check stand first in the table."), "done")
        self._panel.update()

    def _onOpen(self, row, column):
        """Shows a scan and its result."""
        item = self._items[row] if row < len(self._items) else None
        if item is None or not item.isDone:
            return
        try:
            if self.isFolder:
                case = next(case for case in self._cases if case.name == item.key)
                scan, result = self.folder.open(case, self._job())
            else:
                scan = slicer.mrmlScene.GetNodeByID(item.key)
                result = self.loaded.result(item.key, self.parameters.modelName)
        except KafError as error:
            self._message.showError(error)
            return
        self.parameters.inputVolume = scan
        self.parameters.outputSegmentation = result


def _cells(item):
    notes = "\n".join(item.notes)
    return [(item.name, notes), (TITLES[item.state], notes, _LEVELS.get(item.state, "")),
            (volumesText(item.volumes), notes or volumesText(item.volumes))]
