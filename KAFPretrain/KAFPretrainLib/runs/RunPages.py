"""The pages of a run in the browser: its report, and TensorBoard or MLflow where the run logs there."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import qt
from slicer.i18n import tr as _

from kaf.runs import start as jobs
from kaf.runtime.child import Child
from kaf.runtime.environment import child_environment
from kaf.runtime.errors import KafError, SettingsError
from kaf.runtime.logs import last_line
from KAFPretrainLib.widgets.Interfaces import Services
from KAFSegmentationLib.backend.Backend import environmentFor
from KAFSegmentationLib.backend.ShortJob import ShortJob

if TYPE_CHECKING:
    from kaf.runs.job import Job

TENSORBOARD, MLFLOW = "TensorBoard", "MLflow"
_HERE = "127.0.0.1"  # nobody else's business
_MLFLOW_ADDRESS = "MLFLOW_TRACKING_URI"
_POLL_MILLISECONDS, _PATIENCE_SECONDS = 200, 90.0
_PAGES = ("comparison.html", "report.html")


class RunPages:
    """Opens pages; a TensorBoard that was started for one ends with the panel."""

    def __init__(self, services: Services):
        self._services = services
        self._report: ShortJob | None = None
        self._server: Child | None = None
        self._served, self._address, self._since = Path(), "", 0.0
        self._scratch = ""
        self._timer = qt.QTimer()
        self._timer.setInterval(_POLL_MILLISECONDS)
        self._timer.connect("timeout()", self._wait)

    def openReport(self, job: Job) -> None:
        """Opens the page of a run; that of one which is not finished is written first (``kaf report``)."""
        page = next((path for path in (job.folder / name for name in _PAGES) if path.is_file()), None)
        if page is not None and job.state() not in jobs.ALIVE:
            _open(page)
        elif self._report is None:
            self._services.message.show(_("Writing the page of the run…"))
            self._report = ShortJob(self._services.setup.python(), ["report", job.folder], lambda event: None,
                                    self._onReport)

    def tracker(self, job: Job) -> str:
        """Where a run logs to, or nothing."""
        if (job.folder / "tensorboard").is_dir():
            return TENSORBOARD
        return MLFLOW if (job.folder / "mlflow.json").is_file() else ""

    def openTracker(self, job: Job) -> None:
        """Opens TensorBoard, which is started for that, or MLflow's server.

        Raises:
            KafError: it cannot be started, or nobody has said where MLflow's server is.
        """
        if self.tracker(job) == MLFLOW:
            address = os.environ.get(_MLFLOW_ADDRESS, "")
            if not address.startswith(("http://", "https://")):
                raise SettingsError(_MLFLOW_ADDRESS, _("does not name a server"),
                                    _("Start `mlflow ui` where the run logs to, and open the address that it shows."))
            _open(address)
            return
        folder = job.folder / "tensorboard"
        if self._server is not None and not self._server.exited() and folder == self._served:
            _open(self._address)
            return
        self._start(folder)

    def close(self) -> None:
        """The panel is closed for good."""
        self._timer.stop()
        if self._report is not None:
            self._report.close()
            self._report = None
        self._end()

    def _start(self, folder):
        self._end()
        self._scratch = tempfile.mkdtemp(prefix="kaf-")
        python, port = str(self._services.setup.python()), _freePort()
        self._server = Child([python, "-m", "tensorboard.main", "--logdir", str(folder), "--host", _HERE, "--port",
                              str(port)], child_environment(environmentFor(python)), Path(self._scratch) / "log.txt")
        self._served, self._address, self._since = folder, f"http://{_HERE}:{port}", time.monotonic()
        self._services.message.show(_("Starting TensorBoard…"))
        self._timer.start()

    def _wait(self):
        """Opens the page when the server answers."""
        if self._server.exited() or time.monotonic() - self._since > _PATIENCE_SECONDS:
            said = last_line(self._server.log)
            self._end()
            self._services.message.showError(KafError(TENSORBOARD, _("it did not start ({reason})").format(
                reason=said or _("no reason given")), _("Install it in KAF's Python: pip install tensorboard")))
        elif _answers(self._address):
            self._timer.stop()
            self._services.message.clear()
            _open(self._address)

    def _end(self):
        self._timer.stop()
        if self._server is not None:
            self._server.kill()
            self._server = None
        if self._scratch:
            shutil.rmtree(self._scratch, ignore_errors=True)
            self._scratch = ""

    def _onReport(self, result, error):
        self._report = None
        if error is not None:
            self._services.message.showError(error)
            return
        self._services.message.clear()
        _open(Path(result["report"]))


def _open(place):
    url = qt.QUrl.fromLocalFile(str(place)) if isinstance(place, Path) else qt.QUrl(place)
    qt.QDesktopServices.openUrl(url)


def _freePort():
    with socket.socket() as probe:
        probe.bind((_HERE, 0))
        return probe.getsockname()[1]


def _answers(address):
    host, port = address.removeprefix("http://").split(":")
    try:
        socket.create_connection((host, int(port)), 0.1).close()
    except OSError:
        return False
    return True
