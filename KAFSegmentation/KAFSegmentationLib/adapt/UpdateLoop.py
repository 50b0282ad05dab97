"""Updates of the unfinished slices, one after the other: the latest request wins."""

from __future__ import annotations

import traceback
from collections.abc import Callable

import slicer
from slicer.i18n import tr as _

from kaf.runtime.errors import Cancelled, KafError, WorkerError
from KAFSegmentationLib.adapt.AdaptationLogic import AdaptationLogic
from KAFSegmentationLib.adapt.PropagationRun import PropagationRun
from KAFSegmentationLib.backend.Backend import Ticket


class UpdateLoop:
    """Sends updates to the worker and writes their answers; the user goes on drawing meanwhile.

    An answer that a newer request has overtaken is not written. An update whose worker died is sent once more.

    Args:
        logic: has the worker, and writes.
        onWritten: called with an update that was written.
        onFailed: called with an error; nothing was changed.
        onChanged: called when an update has begun or ended.
    """

    def __init__(self, logic: AdaptationLogic, onWritten: Callable[[PropagationRun], None],
                 onFailed: Callable[[KafError], None], onChanged: Callable[[], None]):
        self._logic, self._onWritten, self._onFailed, self._onChanged = logic, onWritten, onFailed, onChanged
        self._ticket: Ticket | None = None
        self._sent: PropagationRun | None = None
        self._next: PropagationRun | None = None
        self._isRepeated = False
        self.answered: PropagationRun | None = None
        """The update that the worker answered last, which it can be asked about; None after it was ended."""

    @property
    def isRunning(self) -> bool:
        """Whether an update is on its way that will be shown."""
        return self._sent is not None or self._next is not None

    def request(self, run: PropagationRun) -> None:
        """Wants this update; it replaces all that were wanted before."""
        self._isRepeated = False
        if self._ticket is not None and self._logic.backend.isRunning(self._ticket):
            self._sent, self._next = None, run  # ending the worker would cost more than its answer
        else:
            self._withdraw()
            self._send(run)
        self._onChanged()

    def drop(self) -> None:
        """No update is wanted any more; one that the worker is at will not be written."""
        wasRunning = self.isRunning
        self._sent = self._next = None
        self._withdraw()
        if wasRunning:
            self._onChanged()

    def _withdraw(self):
        """Takes a request back that still waits in line."""
        ticket = self._ticket
        if ticket is not None and not self._logic.backend.isRunning(ticket):
            self._ticket = self._sent = None
            self._logic.backend.cancel(ticket)

    def _send(self, run):
        self._sent = run
        self._ticket = self._logic.backend.submit(run.verb, run.settings, lambda: self._volumes(run),
                                                  lambda event: None, lambda *done: self._take(run, *done),
                                                  run.options())

    def _volumes(self, run):
        for node in run.nodes():
            if not slicer.mrmlScene.IsNodePresent(node):
                raise Cancelled(_("Update"), _("it was not computed"), _("The scan or its segmentation was removed."))
        return run.volumes()

    def _take(self, run, answer, error):
        if self._ticket is None or (self._sent is not run and self._sent is not None):
            return  # withdrawn
        self._ticket = None
        isWanted, self._sent = self._sent is run, None
        self.answered = run if error is None else None if isinstance(error, WorkerError) else self.answered
        following, self._next = self._next, None
        if following is not None:
            self._send(following)
            return
        if not isWanted or self._logic.isRunning():
            self._onChanged()
            return
        if isinstance(error, WorkerError) and not self._isRepeated:
            self._isRepeated = True
            self._send(run)
            return
        if error is None:
            error = self._write(run, answer)
        if error is None:
            self._onWritten(run)
        elif not isinstance(error, Cancelled):
            self._onFailed(error)
        self._onChanged()

    def _write(self, run, answer):
        """None, or why it could not be written."""
        try:
            self._logic.write(run, answer)
        except KafError as error:
            return error
        except Exception as error:
            self._logic.backend.onLog(traceback.format_exc())
            return KafError(_("Update"), _("it could not be written ({error})").format(error=error),
                            _("Please report it with the log below."))
        return None
