"""The texts about a run: in the list of runs, in the line under it, and in the progress bar."""

from __future__ import annotations

import time

from slicer.i18n import tr as _

from kaf.modelfile.verdict import Verdict, verdict_from
from kaf.runs import start as jobs
from kaf.runs.job import Job
from kaf.runtime.errors import DivergedError
from kaf.runtime.message_codes import DATASET, FORECAST, NETWORK, STARTED_FROM
from KAFPretrainLib.runs.RunSummary import RunSummary
from KAFPretrainLib.widgets.Plurals import forCount
from KAFSegmentationLib.widgets.PlainText import rich
from KAFSegmentationLib.widgets.RoughTime import roughTime
from KAFSegmentationLib.widgets.Tones import tone


def runEntry(job: Job, state: str | None = None) -> str:
    """One line for the list of runs."""
    states = {jobs.QUEUED: _("queued"), jobs.STARTING: _("starting"), jobs.RUNNING: _("running"),
              jobs.STOPPING: _("stopping"), jobs.FINISHED: _("finished"), jobs.FAILED: _("failed"),
              jobs.STOPPED: _("stopped"), jobs.LOST: _("interrupted")}
    made = time.localtime(job.created)
    isToday = made[:3] == time.localtime()[:3]
    return _("{name}: {state}, {time}").format(name=job.folder.name, state=states.get(state or job.state(), ""),
                                               time=time.strftime("%H:%M" if isToday else "%d %b", made))


def statusText(job: Job, state: str, summary: RunSummary) -> str:
    """The state of a run, as rich text: with what to do where something is wrong."""
    lines = [_alarm(job.note)] if job.note else []
    if state in (jobs.FAILED, jobs.LOST):
        lines.append(_alarm(job.error or summary.errorText or _("It ended unexpectedly, without an error message.")))
        lines += _resumeText(job, summary)
    elif state == jobs.STOPPED:
        lines.append(" ".join([rich(_("Stopped.")), *_resumeText(job, summary)]))
    elif state == jobs.FINISHED:
        lines.append(_finishedText(job, summary))
    else:
        lines += _waitingText(job, state)
    codes = [DATASET, NETWORK, STARTED_FROM, FORECAST]
    if job.verb != "pretrain":
        codes.remove(STARTED_FROM)  # the Fine-tune tab shows more about it
    facts = [summary.message(code) for code in codes]
    texts = [message.text for message in facts if message is not None]
    if texts and facts[-1] is not None and (actual := _actualText(state, summary)):
        texts[-1] = f"{texts[-1]} {actual}"
    return "<br>".join([*lines, *map(rich, texts)])


def _actualText(state, summary):
    """What a finished run took, to stand beside its forecast; empty where it did not report that."""
    steps, each = summary.step, summary.latest("seconds per step")
    if state != jobs.FINISHED or not steps or not each:
        return ""
    return _("It took {steps} steps of {each} s, {minutes} min in all.").format(
        steps=steps, each=f"{each:.2g}", minutes=f"{steps * each / 60:.1f}")


def progressText(job: Job, state: str, summary: RunSummary) -> tuple[float | None, str]:
    """(share that is done or None, text of the progress bar)."""
    progress = summary.progress
    if state != jobs.RUNNING or progress is None or not 0 < progress.done < progress.total:
        return None, ""  # between two stages it is not known
    stage = progress.stage.capitalize()
    text = f"{stage}: %p%" if progress.seconds_left is None else \
        _("{stage}: %p%, {time} left").format(stage=stage, time=roughTime(progress.seconds_left))
    return progress.done / progress.total, text


def lowerRate(job: Job) -> float | None:
    """The learning rate to resume with when the last one was too high: a tenth of it; None where it is not known."""
    return job.learning_rate and job.learning_rate / 10


def isDiverged(summary: RunSummary, kind: str = "") -> bool:
    """Whether a run ended because its loss became NaN or infinite.

    Args:
        kind: that of the error which its process left behind, where it is known.
    """
    return (kind or (summary.error.kind if summary.error is not None else "")) == DivergedError.__name__


def verdictOf(summary: RunSummary) -> Verdict | None:
    """The check of the model of a finished run on its validation cases, or None."""
    values = (summary.result or {}).get("verdict")
    return verdict_from(values) if isinstance(values, dict) else None


def _waitingText(job, state):
    """The state of a run that is alive, in a list."""
    if state == jobs.QUEUED:
        text = forCount(max(1, job.ahead), _("Waiting for another run on this device."),
                        _("Waiting for {count} other runs on this device."))
    elif state == jobs.STARTING:
        text = _("Starting: loading takes a few seconds.")
    elif state == jobs.STOPPING:
        text = _("Stopping: a checkpoint is saved first.")
    elif job.is_foreign and state == jobs.RUNNING:
        text = _("Running. It was started outside this panel and has to be stopped there.")
    else:
        return []
    return [rich(text)]


def _resumeText(job, summary):
    """What Resume would do, in a list; empty where it is not possible."""
    if not job.can_resume:
        return []
    if job.verb not in ("pretrain", "finetune"):
        return [rich(_("Resume continues with the missing networks, on the device selected above."))]
    text = _("Resume continues from the last checkpoint, on the device selected above.") if job.has_checkpoint else \
        _("No checkpoint was saved yet: Resume starts from the beginning, on the device selected above.")
    lower = lowerRate(job)
    if lower and isDiverged(summary, job.error_kind):
        hint = _("With the same learning rate the loss may become NaN again: the menu … can resume with {rate}.")
        text = f"{text} {hint.format(rate=f'{lower:g}')}"
    return [rich(text)]


def _finishedText(job, summary):
    if job.verb == "compare":
        return rich(_("Finished. The menu … opens the report, with table, chart and paired differences."))
    count = (summary.result or {}).get("steps") or summary.step
    text = forCount(count, _("Finished after one step."), _("Finished after {count} steps.")) if count else \
        _("Finished.")
    if not job.model:
        return rich(text)
    if job.verb == "pretrain":
        return rich(f"{text} {_('The weights can be selected in the Fine-tune tab.')}")
    verdict = verdictOf(summary)
    if verdict is None or verdict.passed:
        return rich(f"{text} {_('The model can be used in KAF Segmentation.')}")
    kept = _("The model was not added to the library automatically: {reason}.").format(reason=verdict.reason())
    return rich(f"{text} {kept}")


def _alarm(text):
    return f'<span style="color:{tone("error")}">{rich(text)}</span>'
