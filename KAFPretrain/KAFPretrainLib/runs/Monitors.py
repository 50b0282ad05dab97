"""Monitors of a run as traffic lights: what its figures mean, each with a sentence and, where needed, what to do."""

from __future__ import annotations

import math
from dataclasses import dataclass

from slicer.i18n import tr as _

from kaf.modelfile.verdict import LEAST_DICE, MISSED, NO_BETTER
from kaf.runtime.message_codes import UNLABELLED
from KAFPretrainLib.runs.RunMessages import isDiverged, verdictOf
from KAFPretrainLib.runs.RunSummary import RunSummary

GOOD, WARNING, BAD, NONE = "good", "warning", "bad", "none"
# As in kaf.training.monitors, which needs torch: below these, the embeddings of a network have collapsed.
LEAST_SPREAD, LEAST_RANK, STEPS_BEFORE_ALARM = 0.1, 2.0, 50
_LOW_SPREAD = 0.25
_MUCH_WAITING = 0.3
_MORE_THAN_CHANCE = 0.05  # share of matching keypoints
_ENOUGH = 8  # reports before a trend is shown


@dataclass(frozen=True)
class Light:
    """``level`` is good, warning, bad or none (nothing known yet)."""

    name: str
    level: str
    text: str


def lights(summary: RunSummary, verb: str) -> list[Light]:
    """The lights of a run, the most important first."""
    found = [_loss(summary)]
    found += [_embedding(summary), _matching(summary), _probe(summary)] if verb == "pretrain" else \
        [_dice(summary), _model(summary)]
    found.append(_data(summary))
    # Pretraining needs no labels: scans without a label map are not worth a warning there.
    warnings = [message.text for message in summary.warnings if verb != "pretrain" or message.code != UNLABELLED]
    if warnings:
        more = [_("More warnings in the log: {count}.").format(count=len(warnings) - 1)] if len(warnings) > 1 else []
        found.append(Light(_("Warnings"), WARNING, " ".join([warnings[-1], *more])))
    return [light for light in found if light is not None]


def _loss(summary):
    name, losses = _("Loss"), [values["loss"] for _step, values in summary.recent if "loss" in values]
    if isDiverged(summary):
        return Light(name, BAD, _("The loss became NaN. Resume with a lower learning rate (menu … above)."))
    if not losses:
        return Light(name, NONE, _("No value yet; the first one is reported after ten steps."))
    if not math.isfinite(losses[-1]):
        return Light(name, BAD, _("The loss became NaN. If it stays NaN, the run stops: lower the learning rate then."))
    level, text = _trend(losses)
    return Light(name, level, text.format(loss=f"{losses[-1]:.3g}"))


def _trend(losses):
    """Level and sentence about the last losses, oldest first."""
    if len(losses) < _ENOUGH:
        return NONE, _("{loss}; the trend is shown after some more steps.")
    half = len(losses) // 2
    before, now = sum(losses[:half]) / half, sum(losses[half:]) / (len(losses) - half)
    scale = max(abs(before), 1e-9)
    if now < before - 0.01 * scale:
        return GOOD, _("{loss}, falling.")
    if now > before + 0.2 * scale:
        return WARNING, _("{loss}, rising: the learning rate may be too high.")
    return GOOD, _("{loss}, nearly constant: further training may change little.")


def _embedding(summary):
    name, spread, rank = _("Collapse"), summary.latest("spread"), summary.latest("effective rank")
    if summary.alarm and (spread is None or spread < LEAST_SPREAD or (rank is not None and rank < LEAST_RANK)
                          or summary.alarm.data.get("clusters")):
        return Light(name, BAD, summary.alarm.text)
    if spread is None:
        return Light(name, NONE, _("Measured after the first steps."))
    if summary.alarm:
        level, text = WARNING, _("The embeddings had collapsed near step {step} and have recovered.")
    elif spread < _LOW_SPREAD and summary.step < STEPS_BEFORE_ALARM:
        level, text = NONE, _("Too early to judge: the embeddings of the slices are still similar.")
    elif spread < _LOW_SPREAD:
        level, text = WARNING, _("The embeddings of the slices are becoming similar. A lower learning rate may help.")
    else:
        level, text = GOOD, _("No collapse: the embeddings of the slices are distinct.")
    figures = _("Spread: {spread} of that of random directions.") if rank is None else \
        _("Spread: {spread} of that of random directions; effective rank: {rank}.")
    figures = figures.format(spread=f"{spread:.2f}", rank=f"{rank or 0:.1f}")
    return Light(name, level, f"{text.format(step=summary.alarmStep)} {figures}")


def _matching(summary):
    """Whether the network finds the matches of keypoints, for methods that look for them."""
    found, chance = _ending(summary, "inliers"), _ending(summary, "inliers by chance")
    if found is None or chance is None:
        return None
    if found > chance + _MORE_THAN_CHANCE:
        level, text = GOOD, _("{found} % of the matching keypoints are found; by chance it would be {chance} %.")
    else:
        level = NONE if summary.step < STEPS_BEFORE_ALARM else WARNING
        text = _("{found} % of the matching keypoints are found, not clearly more than by chance ({chance} %). More "
                 "training may help.")
    return Light(_("Matching"), level, text.format(found=f"{100 * found:.0f}", chance=f"{100 * chance:.0f}"))


def _ending(summary, figure):
    """The mean of the last reports of a figure, with the name of a method before it or without."""
    values = [value for _step, report in summary.recent[-_ENOUGH:] for name, value in report.items()
              if name == figure or name.endswith(f": {figure}")]
    return sum(values) / len(values) if values else None


def _probe(summary):
    found = [values for _step, values in summary.validations if "validation probe Dice" in values]
    if not found:
        return None
    dice, untrained = found[-1]["validation probe Dice"], found[-1].get("validation untrained Dice", 0.0)
    helps = dice > untrained + 0.01
    text = _("Pretraining helps: the linear probe reaches Dice {dice}, and {untrained} with untrained weights.") \
        if helps else \
        _("No benefit yet: the linear probe reaches Dice {dice}, and {untrained} with untrained weights.")
    return Light(_("Probe"), GOOD if helps else WARNING, text.format(dice=f"{dice:.2f}", untrained=f"{untrained:.2f}"))


def _dice(summary):
    scores = [(values["validation Dice"], step) for step, values in summary.validations if "validation Dice" in values]
    if not scores:
        return None
    (last, _last), (best, step) = scores[-1], max(scores)
    if last != last:
        level, text = WARNING, _("Undefined: the validation cases have no labels.")
    elif last < best - 0.02:
        level, text = WARNING, _("{dice}; the best was {best}, at step {step}. More training may not help.")
    elif last < LEAST_DICE:
        level, text = WARNING, _("{dice} on validation patients: hardly anything is segmented correctly yet.")
    else:
        level, text = GOOD, _("{dice} on validation patients.")
    return Light(_("Dice"), level, text.format(dice=f"{last:.2f}", best=f"{best:.2f}", step=step))


def _model(summary):
    """Whether the finished model beats a constant prediction."""
    verdict = verdictOf(summary)
    if verdict is None:
        return None
    if verdict.passed:
        level, text = GOOD, _("Passed its check: {reason}.")
    elif verdict.code in (MISSED, NO_BETTER):
        level, text = BAD, _("Failed its check: {reason}.")
    else:
        level, text = WARNING, _("Not shown to be useful: {reason}.")
    return Light(_("Model"), level, text.format(reason=verdict.reason()))


def _data(summary):
    name, share = _("Speed"), summary.latest("share waiting for data")
    if share is None:
        return None
    if share > _MUCH_WAITING:
        return Light(name, WARNING, _("{percent} % of the time is spent waiting for data: a faster disk helps.").format(
            percent=f"{100 * share:.0f}"))
    seconds = summary.latest("seconds per step")
    text = _("{seconds} s per step.").format(seconds=f"{seconds:.2g}") if seconds else _("The data arrive in time.")
    return Light(name, GOOD, text)
