"""Which other computer models run on, and whether it can be reached."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt
from slicer.i18n import tr as _

from kaf.runtime.errors import KafError
from kaf.worker.client import Client, Job
from KAFSegmentationLib.backend.Backend import environmentFor
from KAFSegmentationLib.backend.RemoteComputer import isRemoteChosen, remember, remembered

_POLL_MILLISECONDS = 50
_PATIENCE_SECONDS = 120.0


class RemoteControls:
    """Two lines to fill in, a button that tries, and a sentence about what is there.

    Args:
        ui: the widgets of the .ui file.
        onChanged: called when a person has entered another computer or command.
        client: makes what connects (tests give their own).
    """

    def __init__(self, ui: Any, onChanged: Callable[[], None], client: Callable[..., Client] = Client):
        self._frame, self._host, self._command = ui.remoteFrame, ui.remoteHostEdit, ui.remoteCommandEdit
        self._button, self._label, self._onChanged = ui.remoteTestButton, ui.remoteLabel, onChanged
        self._makeClient = client
        self._client: Client | None = None
        self._job: Job | None = None
        known = remembered()
        self._host.text, self._command.text = known.host, known.command
        self._host.connect("editingFinished()", self._onEdited)
        self._command.connect("editingFinished()", self._onEdited)
        self._button.connect("clicked()", self.test)
        self._timer = qt.QTimer()
        self._timer.setInterval(_POLL_MILLISECONDS)
        self._timer.connect("timeout()", self._listen)
        self.update()

    def update(self) -> None:
        """Shows the lines where they are of use."""
        self._frame.visible = isRemoteChosen()
        self._button.enabled = self._job is None and bool(self._host.text.strip())

    def test(self) -> None:
        """Connects, and says in one sentence what is there."""
        self._onEdited()
        self.close()
        remote = remembered()
        self._client = self._makeClient(remote=remote, env=environmentFor(remote.program))
        try:
            self._job = self._client.submit("ping", options={"devices": True}, timeout=_PATIENCE_SECONDS)
        except KafError as error:
            self._show(str(error))
            return
        self._label.text = _("Connecting to {host}…").format(host=remote.host)
        self._timer.start()
        self.update()

    def close(self) -> None:
        """Ends a test that is still on its way."""
        self._timer.stop()
        self._job = None
        if self._client is not None:
            self._client.close()
            self._client = None

    def _listen(self):
        try:
            if not self._job.poll():
                return
            text = foundText(remembered().host, self._job.result())
        except KafError as error:
            text = str(error)
        self._show(text)

    def _show(self, text):
        self.close()
        self._label.text = text
        self.update()

    def _onEdited(self):
        before = remembered()
        if remember(self._host.text, self._command.text) != before:
            self._label.text = ""
            self._onChanged()
        self.update()


def foundText(host: str, answer: dict[str, Any]) -> str:
    """What is on another computer, from its answer to ``ping``."""
    devices = answer["devices"]
    gpus = [device["description"] for device in devices["found"] if device["name"] != "cpu"]
    text = _("{host} has KAF {version}, PyTorch {torch} and {device}.")
    device = ", ".join(gpus) or _("no GPU: {reason}").format(reason=devices["found"][-1]["description"])
    return text.format(host=host, version=answer["versions"]["kaf"], torch=answer["versions"]["torch"], device=device)
