"""A run in words: for the list of runs, the line under it, and the progress bar."""

import time

from kaf.modelfile.verdict import verdict_from
from kaf.runs import start as jobs
from kaf.runtime.errors import DivergedError
from kaf.runtime.message_codes import DATASET, FORECAST, NETWORK, STARTED_FROM
from KAFSegmentationLib.segment.Forecast import roughTime
from KAFSegmentationLib.widgets.PlainText import rich

_STATES = {jobs.QUEUED: "waits", jobs.STARTING: "starts", jobs.RUNNING: "runs", jobs.STOPPING: "is stopping",
           jobs.FINISHED: "finished", jobs.FAILED: "failed", jobs.STOPPED: "stopped", jobs.LOST: "broke off"}
_RED = "#cf3b2e"


def runEntry(job, state=None):
    """One line for the list of runs."""
    made = time.localtime(job.created)
    today = made[:3] == time.localtime()[:3]
    when = time.strftime("%H:%M" if today else "%d %b", made)
    return f"{job.folder.name}: {_STATES.get(state or job.state(), '')}, {when}"


def statusText(job, state, story):
    """How it stands, as rich text: with what to do where something is wrong."""
    lines = []
    if job.note:
        lines.append(_alarm(job.note))
    if state in (jobs.FAILED, jobs.LOST):
        lines.append(_alarm(job.error or story.errorText or "It ended unexpectedly, without an error message."))
        if job.can_resume:
            lines.append(_resumeWords(job, story))
    elif state == jobs.QUEUED:
        before = f" ({job.ahead} before it)" if job.ahead else ""
        lines.append(f"Waits until the run before it on this device is done{before}.")
    elif state == jobs.STARTING:
        lines.append("Starts: loading takes some seconds.")
    elif state == jobs.STOPPING:
        lines.append("Is stopping: it writes a checkpoint first.")
    elif state == jobs.STOPPED:
        lines.append(f"Stopped. {_resumeWords(job, story)}" if job.can_resume else "Stopped.")
    elif state == jobs.FINISHED:
        lines.append(_finished(job, story))
    elif job.is_foreign and state == jobs.RUNNING:
        lines.append("Runs; it was started outside this panel and is stopped there.")
    codes = [DATASET, NETWORK, STARTED_FROM, FORECAST]
    if job.verb != "pretrain":
        codes.remove(STARTED_FROM)  # the tab Fine-tune shows more about it
    facts = [story.message(code) for code in codes]
    return "<br>".join([*lines, *(rich(message.text) for message in facts if message is not None)])


def progressText(job, state, story):
    """(share that is done or None, text of the progress bar)."""
    progress = story.progress
    if state != jobs.RUNNING or progress is None or not 0 < progress.done < progress.total:
        return None, ""  # between two stages nothing can be told
    left = "" if progress.seconds_left is None else f", {roughTime(progress.seconds_left)} left"
    return progress.done / progress.total, f"{progress.stage.capitalize()}: %p%{left}"


def _resumeWords(job, story):
    """What Resume would do."""
    if job.verb not in ("pretrain", "finetune"):
        return "Resume goes on with what is missing, on the device that is chosen above."
    where = "goes on from its last checkpoint" if job.has_checkpoint else \
        "begins again, because no checkpoint had been written yet"
    words = f"Resume {where}, on the device that is chosen above."
    lower = lowerRate(job)
    if lower and isDiverged(story, job.error_kind):
        words += f" With the same learning rate it may fail again: under … it resumes with {lower:g}."
    return words


def lowerRate(job):
    """The learning rate to resume with when the last one was too high: a tenth of it; None where it is not known."""
    return job.learning_rate and job.learning_rate / 10


def isDiverged(story, kind=""):
    """Whether a run ended because its loss became NaN or infinite.

    Args:
        kind: that of the error which its process left behind, where it is known.
    """
    return (kind or (story.error.kind if story.error is not None else "")) == DivergedError.__name__


def verdictOf(story):
    """What the model of a finished run has shown on its validation cases, or None."""
    values = (story.result or {}).get("verdict")
    return verdict_from(values) if isinstance(values, dict) else None


def _finished(job, story):
    if job.verb == "compare":
        return "Finished. Its report, with table, chart and paired differences, is under …."
    count = (story.result or {}).get("steps") or story.step
    words = f" after {count} step{'s' * (count != 1)}" if count else ""
    then = "Its weights can be chosen in the tab Fine-tune."
    if job.verb != "pretrain":
        verdict = verdictOf(story)
        then = "Its model can be chosen in KAF Segmentation." if verdict is None or verdict.passed else \
            f"Its model did not go into the library by itself: {rich(verdict.reason())}."
    return f"Finished{words}. {then}" if job.model else f"Finished{words}."


def _alarm(text):
    return f'<span style="color:{_RED}">{rich(text)}</span>'
