"""What else can be done with a run: its folder, its words, its command, and deleting it."""

import qt

from kaf.runs import start as jobs
from kaf.runs.layout import RUN
from kaf.runtime.errors import OutputError
from kaf.runtime.files import write_problem
from KAFPretrainLib.runs.RunMessages import lowerRate
from KAFSegmentationLib.widgets.PlainText import confirm, tellError

_LINES = 60


class RunMenu:
    """The menu of the button "…" beside the list of runs."""

    def __init__(self, button, view, panel):
        self._view, self._panel, self._button = view, panel, button
        self._menu = qt.QMenu(button)
        self._actions = {}
        for name, text, function in (
                ("folder", "Open its folder", self._openFolder), ("log", "Show its words in the log", self._showLog),
                ("report", "Open its report", self._openReport), ("again", "Look for runs again", panel.refreshRuns),
                ("lower", "Resume with a lower learning rate", view.resumeLower),
                ("kill", "End it at once", self._kill), ("delete", "Delete this run…", self._delete)):
            action = self._menu.addAction(text)
            action.connect("triggered()", function)
            self._actions[name] = action
        self._menu.connect("aboutToShow()", self.update)
        button.setMenu(self._menu)

    def update(self):
        """What can be done now."""
        job = self._view.job
        alive = job is not None and job.state() in jobs.ALIVE
        for name, action in self._actions.items():
            action.enabled = name == "again" or job is not None
        self._actions["delete"].enabled = job is not None and not alive
        lower = lowerRate(job) if job is not None and job.can_resume else None
        self._actions["lower"].enabled = lower is not None
        self._actions["lower"].text = f"Resume with learning rate {lower:g} in place of {job.learning_rate:g}" \
            if lower is not None else "Resume with a lower learning rate"
        self._actions["kill"].enabled = alive and not job.is_foreign
        self._actions["report"].enabled = job is not None and self._report() is not None

    def action(self, name):
        """An action by its name, for tests and shortcuts."""
        return self._actions[name]

    def _report(self):
        return next((path for path in (self._view.job.folder / name for name in
                                       ("comparison.html", "report.html")) if path.is_file()), None)

    def _openFolder(self):
        qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(str(self._view.job.folder)))

    def _openReport(self):
        qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(str(self._report())))

    def _showLog(self):
        try:
            text = self._view.job.log.read_text(encoding="utf-8", errors="replace")
        except OSError:
            text = "There is no log."
        self._panel.log.add("\n".join(text.splitlines()[-_LINES:]))
        self._panel.showLog()

    def _kill(self):
        self._view.job.kill()
        self._view.tick()

    def _delete(self):
        folder = self._view.job.folder
        others = RUN.strangers(folder)
        stays = "" if not others else \
            f" Files that KAF did not write stay: {', '.join(others[:3])}" \
            f"{f' and {len(others) - 3} more' if len(others) > 3 else ''}."
        if not confirm(
                f"The run in {folder} will be deleted, its weights too.{stays}", "Delete this run",
                self._button):
            return
        try:
            RUN.remove(folder)
        except OSError as error:
            tellError(str(OutputError(folder, *write_problem(error))), parent=self._button)
        else:
            self._panel.jobs.drop(folder)
            self._view.refresh()
        self._panel.refreshRuns()
