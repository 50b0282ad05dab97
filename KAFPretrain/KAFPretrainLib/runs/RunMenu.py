"""What else can be done with a run: its folder, log and report, resuming with a lower learning rate, killing, deleting.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import qt
from slicer.i18n import tr as _

from kaf.runs import start as jobs
from kaf.runs.layout import RUN
from kaf.runtime.errors import KafError, OutputError
from kaf.runtime.files import write_problem
from KAFPretrainLib.runs.RunMessages import lowerRate
from KAFPretrainLib.runs.RunPages import TENSORBOARD, RunPages
from KAFPretrainLib.widgets.Interfaces import RunCallbacks, Services
from KAFSegmentationLib.widgets.PlainText import confirm, tellError

if TYPE_CHECKING:
    from kaf.runs.job import Job

_LINES = 60
_SHOWN = 3  # files that are named in a question


class ShownRun(Protocol):
    """The run that is shown; RunView is one."""

    job: Job | None

    def resumeLower(self) -> None:
        """Resumes it with a lower learning rate."""

    def tick(self) -> None:
        """Reads what is new about it."""

    def refresh(self) -> None:
        """Shows the runs that there are now."""


class RunMenu:
    """The menu of the button "…" next to the list of runs.

    Args:
        button: opens the menu.
        view: the run that is shown.
        callbacks: for what the menu reports.
        drop: forgets a run that was deleted.
        services: what every part may use.
    """

    def __init__(self, button: qt.QToolButton, view: ShownRun, callbacks: RunCallbacks, drop: Callable[[Path], None],
                 services: Services):
        self._view, self._callbacks, self._drop, self._button = view, callbacks, drop, button
        self._log, self._message, self._pages = services.log, services.message, RunPages(services)
        self._menu = qt.QMenu(button)
        self._actions = {}
        for name, text, function in (
                ("folder", _("Open folder"), self._openFolder), ("log", _("Show log"), self._showLog),
                ("report", _("Open report"), self.openReport),
                ("tracker", _("Open TensorBoard"), self._openTracker), ("again", _("Refresh list"), callbacks.refresh),
                ("lower", _("Resume with a lower learning rate"), view.resumeLower),
                ("kill", _("Kill"), self._kill), ("delete", _("Delete run…"), self._delete)):
            action = self._menu.addAction(text)
            action.connect("triggered()", function)
            self._actions[name] = action
        self._menu.connect("aboutToShow()", self.update)
        button.setMenu(self._menu)

    def update(self) -> None:
        """Shows what can be done now."""
        job = self._view.job
        alive = job is not None and job.state() in jobs.ALIVE
        for name, action in self._actions.items():
            action.enabled = name == "again" or job is not None
        self._actions["delete"].enabled = job is not None and not alive
        lower = lowerRate(job) if job is not None and job.can_resume else None
        self._actions["lower"].enabled = lower is not None
        self._actions["lower"].text = _("Resume with a lower learning rate") if lower is None else \
            _("Resume with learning rate {new} instead of {old}").format(new=f"{lower:g}", old=f"{job.learning_rate:g}")
        self._actions["kill"].enabled = alive and not job.is_foreign
        tracker = self._pages.tracker(job) if job is not None else ""
        self._actions["tracker"].visible = bool(tracker)
        self._actions["tracker"].text = _("Open {tracker}").format(tracker=tracker or TENSORBOARD)

    def action(self, name: str) -> qt.QAction:
        """An action by its name, for tests and shortcuts."""
        return self._actions[name]

    def openReport(self) -> None:
        """Opens the page of the run in the browser."""
        self._pages.openReport(self._view.job)

    def close(self) -> None:
        """The panel is closed for good."""
        self._pages.close()

    def _openFolder(self):
        qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(str(self._view.job.folder)))

    def _openTracker(self):
        try:
            self._pages.openTracker(self._view.job)
        except KafError as error:
            self._message.showError(error)

    def _showLog(self):
        try:
            text = self._view.job.log.read_text(encoding="utf-8", errors="replace")
        except OSError:
            text = _("This run has no log.")
        self._log.add("\n".join(text.splitlines()[-_LINES:]))
        self._callbacks.showLog()

    def _kill(self):
        self._view.job.kill()
        self._view.tick()

    def _delete(self):
        folder = self._view.job.folder
        question = _("Delete the run in {folder}, including its weights?").format(folder=folder)
        if not confirm("\n\n".join([question, *_kept(RUN.strangers(folder))]), _("Delete run"), self._button):
            return
        try:
            RUN.remove(folder)
        except OSError as error:
            tellError(str(OutputError(folder, *write_problem(error))), parent=self._button)
        else:
            self._drop(folder)
            self._view.refresh()
        self._callbacks.refresh()


def _kept(files):
    """Which files in the folder of a run are not deleted with it, in a list."""
    if not files:
        return []
    text = _("Files that KAF did not write are kept: {files}.") if len(files) <= _SHOWN else \
        _("Files that KAF did not write are kept: {files} and {count} more.")
    return [text.format(files=", ".join(files[:_SHOWN]), count=len(files) - _SHOWN)]
