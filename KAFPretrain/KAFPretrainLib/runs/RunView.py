"""One run as the panel shows it: its progress, curves, monitors and pictures.

All of it comes from the folder of the run, so it makes no difference who started it, or when.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

from slicer.i18n import tr as _

from kaf.runs import start as jobs
from kaf.runtime.errors import KafError
from KAFPretrainLib.runs.Curves import Curves, groupTitle
from KAFPretrainLib.runs.Monitors import lights
from KAFPretrainLib.runs.MonitorView import MonitorView
from KAFPretrainLib.runs.PictureView import PictureView
from KAFPretrainLib.runs.RunMenu import RunMenu
from KAFPretrainLib.runs.RunMessages import lowerRate, progressText, runEntry, statusText
from KAFPretrainLib.runs.RunSummary import RunSummary
from KAFPretrainLib.widgets.Interfaces import RunCallbacks, Runs, Services
from KAFPretrainLib.widgets.PlotPanel import PlotPanel

if TYPE_CHECKING:
    from kaf.runs.job import Job


class RunView:
    """The section "Run" of a tab.

    Args:
        ui, prefix: the widgets of the .ui file whose names begin with the prefix.
        verbs: of the runs that are shown here.
        services: what every part may use.
        runs: the runs in the output folder.
        callbacks: for what the view reports.
        device: the device to resume a run on.
        hasPictures: whether the section has a place for pictures.
    """

    def __init__(self, ui: SimpleNamespace, prefix: str, verbs: Sequence[str], services: Services, runs: Runs,
                 callbacks: RunCallbacks, device: Callable[[], str], hasPictures: bool = False):
        self._verbs, self._services, self._runs, self._callbacks = verbs, services, runs, callbacks
        self._device = device
        self._combo, self._status = getattr(ui, f"{prefix}RunComboBox"), getattr(ui, f"{prefix}StatusLabel")
        self._bar, self._chart = getattr(ui, f"{prefix}ProgressBar"), getattr(ui, f"{prefix}ChartComboBox")
        self._stop, self._resume = getattr(ui, f"{prefix}StopButton"), getattr(ui, f"{prefix}ResumeButton")
        self._section = getattr(ui, f"{prefix}RunSection")
        self._plotFrame, self._viewsButton = getattr(ui, f"{prefix}PlotFrame"), getattr(ui, f"{prefix}ViewsButton")
        self._plot = PlotPanel(getattr(ui, f"{prefix}PlotLayout"), self._viewsButton, prefix.capitalize())
        self._monitors = MonitorView(getattr(ui, f"{prefix}MonitorsLayout"))
        self._pictures = PictureView(*(getattr(ui, prefix + name) for name in (
            "PicturesFrame", "PictureComboBox", "PictureSlider", "PictureButton", "PictureLabel"))) \
            if hasPictures else None
        self._menu = RunMenu(getattr(ui, f"{prefix}MoreButton"), self, callbacks, runs.drop, services)
        self.job: Job | None = None
        self.summary = self._curves = None
        self.onChange: Callable[[], None] = lambda: None
        self._groups, self._wantedGroup = [], ""
        self._position, self._state, self._filling, self._jobs, self._logged = 0, "", False, [], 0
        self._combo.connect("currentIndexChanged(int)", self._onChosen)
        self._chart.connect("currentIndexChanged(int)", self._onChart)
        self._stop.connect("clicked()", self.stop)
        self._resume.connect("clicked()", self.resume)

    def refresh(self, chosen: Path | None = None) -> None:
        """Shows the runs that there are now, and ``chosen`` or the one that was shown or the newest."""
        self._jobs = [job for job in self._runs.all() if job.verb in self._verbs]
        wanted = chosen or (self.job.folder if self.job is not None else None)
        folders = [job.folder for job in self._jobs]
        index = folders.index(wanted) if wanted in folders else 0
        self._filling = True
        self._combo.clear()
        for job in self._jobs:
            self._combo.addItem(runEntry(job))
        self._combo.setCurrentIndex(index if self._jobs else -1)
        self._combo.enabled = bool(self._jobs)
        self._filling = False
        self.show(self._jobs[index] if self._jobs else None)

    def show(self, job: Job | None) -> None:
        """Shows a run from its beginning; the one that is shown continues where it is."""
        if job is not None and self.job is not None and job.folder == self.job.folder and self._isSound():
            self.job = job
        else:
            self._dropCurves()
            self.job, self.summary, self._position, self._state, self._logged = job, RunSummary(), 0, "", 0
            self._curves = Curves(job.folder.name) if job is not None else None
        self.tick()

    def tick(self) -> None:
        """Reads the events of the run since the last time."""
        if self.job is None:
            self._showNothing()
            return
        events, self._position = self.job.events(self._position)
        for event in events:
            self.summary.take(event)
            if hasattr(event, "values") and hasattr(event, "step"):
                self._curves.add(event.step, event.values)
        self._logNew()
        state = self.job.state()
        if events or state != self._state:
            self._update(state)

    def stop(self) -> None:
        """Asks the run to stop; it keeps a checkpoint."""
        self._do(lambda: self.job.stop())

    def resume(self) -> None:
        """Resumes the run from its last checkpoint, on the device that is chosen now."""
        self._resumeWith({})

    def resumeLower(self) -> None:
        """Resumes it with a tenth of the learning rate, after its loss became NaN."""
        self._resumeWith({"learning_rate": lowerRate(self.job)})

    def _resumeWith(self, changes):
        def go():
            self.job = self._runs.resume(self.job, {**changes, "device": self._device()})
            self._state = ""

        self.summary.error = None
        self._do(go)

    def openReport(self) -> None:
        """Opens the page of the run in the browser."""
        self._menu.openReport()

    def fitPictures(self) -> None:
        """The tab is shown: its width is known now."""
        if self._pictures is not None:
            self._pictures.fit()

    def forget(self) -> None:
        """The scene is about to close: the curves are removed with it, and read again from the folder of the run."""
        self._plot.forget()
        self._curves = None
        self._position, self.summary, self._logged = 0, RunSummary(), 0
        self._state = ""

    def restore(self) -> None:
        """The scene was closed: the curves of the run are drawn again."""
        if self.job is not None:
            self._curves = Curves(self.job.folder.name)
        self._groups = []
        self.tick()

    def close(self) -> None:
        """The panel is closed for good; the run continues."""
        self._menu.close()
        self._plot.close()
        self._dropCurves()

    def _do(self, action):
        try:
            action()
        except KafError as error:
            self._services.message.showError(error)
        self.tick()

    def _isSound(self):
        return self._curves is not None and self._curves.isThere()

    def _dropCurves(self):
        if self._curves is not None:
            self._plot.show(None)
            self._curves.remove()
        self._curves = None

    def _logNew(self):
        for message in self.summary.messages[self._logged:]:
            prefix = "" if message.level == "info" else f"{message.level}: "
            self._services.log.add(f"{self.job.folder.name}: {prefix}{message.text}")
        self._logged = len(self.summary.messages)

    def _update(self, state):
        ended = self._state in jobs.ALIVE and state not in jobs.ALIVE
        self._state = state
        self._curves.flush()
        self._fillCharts()
        self._status.text = statusText(self.job, state, self.summary)
        alive = state in jobs.ALIVE
        self._bar.visible = alive
        done, text = progressText(self.job, state, self.summary)
        self._bar.maximum = 1000 if done is not None else 0
        if done is not None:
            self._bar.value = round(1000 * done)
        self._bar.format = text
        self._stop.enabled = alive and state != jobs.STOPPING and not self.job.is_foreign
        self._resume.enabled = self.job.can_resume
        self._monitors.show(lights(self.summary, self.job.verb) if self.job.verb != "compare" else [])
        if self._pictures is not None:
            self._pictures.show(self.summary.pictures)
        index = next((i for i, job in enumerate(self._jobs) if job.folder == self.job.folder), -1)
        if index >= 0:
            self._combo.setItemText(index, runEntry(self.job, state))
        if ended:
            self._callbacks.ended(self.job, state, self.job.error or self.summary.errorText)
        self.onChange()

    def _fillCharts(self):
        groups = self._curves.groups()
        hasCurves = bool(groups)
        for widget in (self._plotFrame, self._chart, self._viewsButton):
            widget.visible = hasCurves
        if groups != self._groups:
            self._groups = groups
            self._filling = True
            self._chart.clear()
            for group in groups:
                self._chart.addItem(groupTitle(group))
            self._chart.setCurrentIndex(groups.index(self._wantedGroup) if self._wantedGroup in groups else 0)
            self._filling = False
            self._onChart()

    def _showNothing(self):
        self._status.text = _("No run yet. Press Start above, or choose the output folder of earlier runs in the Data "
                              "tab.")
        for widget in (self._bar, self._plotFrame, self._chart, self._viewsButton):
            widget.visible = False
        self._stop.enabled = self._resume.enabled = False
        self._monitors.show([])
        if self._pictures is not None:
            self._pictures.show({})

    def _onChosen(self, index):
        if not self._filling and 0 <= index < len(self._jobs):
            self.show(self._jobs[index])

    def _onChart(self, index=None):
        if self._filling or self._curves is None:
            return
        current = self._chart.currentIndex
        group = self._groups[current] if 0 <= current < len(self._groups) else ""
        if index is not None:  # a person chose it, and it stays when others come
            self._wantedGroup = group
        self._plot.show(self._curves.chart(group))

