"""Traffic lights: what the figures of a run mean, each with a sentence and, where it is needed, what to do."""

import math
from dataclasses import dataclass

from kaf.modelfile.verdict import LEAST_DICE, MISSED, NO_BETTER
from kaf.runs.collapse import LEAST_RANK, LEAST_SPREAD, STEPS_BEFORE_ALARM
from kaf.runtime.message_codes import UNLABELLED
from KAFPretrainLib.runs.RunMessages import isDiverged, verdictOf

GOOD, LOOK, BAD, NONE = "good", "look", "bad", "none"
_CAREFUL_SPREAD = 0.25
_MUCH_WAITING = 0.3
_ENOUGH = 8  # reports before a trend is told


@dataclass(frozen=True)
class Light:
    """``level`` is good, look, bad or none (nothing known yet)."""

    name: str
    level: str
    text: str


def lights(story, verb):
    """The lights of a run, the most important first."""
    found = [_loss(story)]
    found += [_embedding(story), _probe(story)] if verb == "pretrain" else [_dice(story), _model(story)]
    found.append(_data(story))
    # Pretraining needs no labels: scans without a label map are not worth a warning there.
    warnings = [message.text for message in story.warnings if verb != "pretrain" or message.code != UNLABELLED]
    if warnings:
        more = f" ({len(warnings) - 1} more in the log)" if len(warnings) > 1 else ""
        found.append(Light("Warnings", LOOK, warnings[-1] + more))
    return [light for light in found if light is not None]


def _loss(story):
    losses = [values["loss"] for _, values in story.recent if "loss" in values]
    if isDiverged(story):
        return Light("Loss", BAD, "The loss was no number any more: resume with a lower learning rate (under … above).")
    if not losses:
        return Light("Loss", NONE, "No figure yet; the first ones come after ten steps.")
    if not math.isfinite(losses[-1]):
        return Light("Loss", BAD, "The loss is no number. If this goes on, the run stops: lower the learning rate.")
    if len(losses) < _ENOUGH:
        return Light("Loss", NONE, f"{losses[-1]:.3g}; a trend can be told after some more steps.")
    half = len(losses) // 2
    before, now = sum(losses[:half]) / half, sum(losses[half:]) / (len(losses) - half)
    scale = max(abs(before), 1e-9)
    if now < before - 0.01 * scale:
        return Light("Loss", GOOD, f"{losses[-1]:.3g}, and falling.")
    if now > before + 0.2 * scale:
        return Light("Loss", LOOK, f"{losses[-1]:.3g}, and rising: the learning rate may be too high.")
    return Light("Loss", GOOD, f"{losses[-1]:.3g}, nearly level: it learns little more.")


def _embedding(story):
    spread, rank = story.latest("spread"), story.latest("effective rank")
    if story.alarm and (spread is None or spread < LEAST_SPREAD or (rank is not None and rank < LEAST_RANK)
                        or story.alarm.data.get("clusters")):
        return Light("Collapse", BAD, story.alarm.text)
    if spread is None:
        return Light("Collapse", NONE, "Whether slices are told apart is seen after the first steps.")
    words = f"spread {spread:.2f} of that of random directions"
    words += f", effective rank {rank:.1f}" if rank is not None else ""
    if story.alarm:
        return Light("Collapse", LOOK, f"It had collapsed near step {story.alarmStep} and has recovered ({words}).")
    if spread < _CAREFUL_SPREAD and story.step < STEPS_BEFORE_ALARM:
        return Light("Collapse", NONE, f"Too early to tell: slices are still alike ({words}).")
    if spread < _CAREFUL_SPREAD:
        return Light("Collapse", LOOK, f"Slices become alike: {words}. Watch it; a lower learning rate may help.")
    return Light("Collapse", GOOD, f"None: slices are told apart ({words}).")


def _probe(story):
    looks = [values for _, values in story.looks if "validation probe Dice" in values]
    if not looks:
        return None
    found, untrained = looks[-1]["validation probe Dice"], looks[-1].get("validation untrained Dice", 0.0)
    words = f"a simple reader reaches Dice {found:.3f}, {untrained:.3f} with untrained weights"
    return Light("Helping?", GOOD if found > untrained + 0.01 else LOOK,
                 f"{'Yes' if found > untrained + 0.01 else 'Not yet'}: {words}.")


def _dice(story):
    scores = [(values["validation Dice"], step) for step, values in story.looks if "validation Dice" in values]
    if not scores:
        return None
    (last, _), (best, step) = scores[-1], max(scores)
    if last != last:
        return Light("Dice", LOOK, "Could not be told: the validation cases hold no labels.")
    if last < best - 0.02:
        return Light("Dice", LOOK, f"{last:.3f}; it was {best:.3f} at step {step}: more training may not help.")
    if last < LEAST_DICE:
        return Light("Dice", LOOK, f"{last:.3f} on patients who are not trained on: hardly anything is found yet.")
    return Light("Dice", GOOD, f"{last:.3f} on patients who are not trained on.")


def _model(story):
    """Whether the finished model is worth more than nothing."""
    verdict = verdictOf(story)
    if verdict is None:
        return None
    if verdict.passed:
        return Light("Model", GOOD, f"Passed its check: {verdict.reason()}.")
    known = verdict.code in (MISSED, NO_BETTER)
    return Light("Model", BAD if known else LOOK, f"{'No better than nothing' if known else 'Not shown to be useful'}: "
                                                  f"{verdict.reason()}.")


def _data(story):
    share = story.latest("share waiting for data")
    if share is None:
        return None
    if share > _MUCH_WAITING:
        return Light("Speed", LOOK, f"{100 * share:.0f} % of the time is spent waiting for scans: a faster disk helps.")
    seconds = story.latest("seconds per step")
    return Light("Speed", GOOD, f"{seconds:.2g} s per step." if seconds else "Scans arrive in time.")
