"""Start, on the Pretrain and the Fine-tune tab alike."""

from __future__ import annotations

from collections.abc import Callable

import ctk
from slicer.i18n import tr as _

from kaf.runtime.errors import KafError
from KAFPretrainLib.runs.RunExport import RunRequest
from KAFPretrainLib.runs.RunView import RunView
from KAFPretrainLib.widgets.Interfaces import RunCallbacks, Runs, Services


def startRun(request: Callable[[], RunRequest | None], services: Services, runs: Runs, view: RunView,
             callbacks: RunCallbacks, settings: ctk.ctkCollapsibleButton) -> None:
    """Starts the run that is asked for, after the set-up if that is missing, and shows it.

    Args:
        request: the run; None, after a message, where something is missing.
        view: shows the run.
        settings: the section with the settings; it folds, because what matters now is the run below.
    """
    wanted = request() if services.makeReady() else None
    if wanted is None:
        return
    try:
        job = runs.start(wanted.verb, wanted.values, wanted.name)
    except KafError as error:
        services.message.showError(error)
        return
    settings.collapsed = True
    services.message.show(
        _("The run {name} was started. It continues when Slicer is closed.").format(name=job.folder.name), "done")
    view.refresh(job.folder)
    callbacks.refresh()
