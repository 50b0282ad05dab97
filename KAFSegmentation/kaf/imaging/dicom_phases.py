"""One volume out of the images of a series: phases, echoes, b-values and stacks told apart."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kaf.imaging.dicom_frames import TRAITS, Frame, Trait, Value
from kaf.runtime.errors import InputError

SAME_PLACE = 0.01  # mm
_LISTED = 12  # volumes that a message lists in full


@dataclass(frozen=True)
class Phase:
    """Images that may form a stack, and the words for what they have in common ("echo time 4.6 ms")."""

    frames: list[Frame]
    words: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        return ", ".join(self.words) or "the others"


def choose_phase(subject: Path, frames: Sequence[Frame], number: int | None) -> list[Frame]:
    """The images of one volume.

    Args:
        subject: the file or folder, named in errors.
        frames: all images of a series.
        number: which of its volumes, from 0; needed where there are several.

    Raises:
        InputError: there are several and none was chosen, or there is none of this number.
    """
    phases = phases_of(frames)
    if len(phases) == 1 and number in (None, 0):
        return phases[0].frames
    choose = f"Choose one with `frame` (`--frame`), 0 to {len(phases) - 1}."
    if number is None:
        raise InputError(subject, f"holds {len(phases)} volumes in one series: {_listed(phases)}", choose)
    if not 0 <= number < len(phases):
        raise InputError(subject, f"has {len(phases)} frames and no frame {number}", choose)
    return phases[number].frames


def phases_of(frames: Sequence[Frame]) -> list[Phase]:
    """The volumes of a series.

    Images of different stacks are always apart.  Others are only where two lie at one place: by the first trait that
    tells such images apart, then those that still share a place by the next one.  What no trait tells apart stays
    together.
    """
    stacks = _by_value(Phase(list(frames)), TRAITS[0])
    return [phase for stack in stacks for phase in _apart(stack, TRAITS[1:])]


def _apart(phase: Phase, traits: Sequence[Trait]) -> list[Phase]:
    places = _places(phase.frames)
    most = max(map(len, places))
    if most == 1:
        return [phase]
    for index, trait in enumerate(traits):
        if not any(len({frame.traits.get(trait.name) for frame in place}) > 1 for place in places):
            continue
        parts: list[Phase] | None = _by_value(phase, trait)
        assert parts is not None
        if trait.ranked and not all(len(_places(part.frames)) == len(places) for part in parts):
            parts = _by_rank(phase, places, trait) or (parts if len(parts) <= most else None)
        if parts is not None:
            return [whole for part in parts for whole in _apart(part, traits[index + 1 :])]
    return [phase]


def _places(frames: Sequence[Frame]) -> list[list[Frame]]:
    """Images by their height along the normal of the first; of slices that are not parallel each by itself."""
    first = frames[0].orientation
    normal = np.cross(first[:3], first[3:])
    if not all(np.allclose(frame.orientation, first, atol=1e-3) for frame in frames):
        return [[frame] for frame in frames]
    heights = np.array([frame.position for frame in frames]) @ normal
    order = np.argsort(heights, kind="stable")
    cuts = np.flatnonzero(np.diff(heights[order]) >= SAME_PLACE) + 1
    return [[frames[index] for index in part] for part in np.split(order, cuts)]


def _by_value(phase: Phase, trait: Trait) -> list[Phase]:
    """The images of each value of the trait, in order of the values; without it first."""
    found: dict[Value | None, list[Frame]] = defaultdict(list)
    for frame in phase.frames:
        found[frame.traits.get(trait.name)].append(frame)
    if len(found) == 1:
        return [phase]
    return [Phase(found[value], (*phase.words, *([] if value is None else [_words(trait, value)])))
            for value in sorted(found, key=lambda value: (str(type(value)), value) if value is not None else ("", 0))]


def _by_rank(phase: Phase, places: list[list[Frame]], trait: Trait) -> list[Phase] | None:
    """First, second ... image of every place by the trait; None where places hold unlike numbers or ties."""
    ranked = []
    for place in places:
        values = [frame.traits.get(trait.name) for frame in place]
        if len(place) != len(places[0]) or len(set(values)) < len(values) or None in values:
            return None
        ranked.append(sorted(place, key=lambda frame: frame.traits[trait.name]))
    phases = []
    for frames in map(list, zip(*ranked, strict=True)):
        ends = [pick(frame.traits[trait.name] for frame in frames) for pick in (min, max)]
        phases.append(Phase(frames, (*phase.words, _words(trait, *ends))))
    return phases


def _words(trait: Trait, value: Value, last: Value | None = None) -> str:
    shown = _shown(value) + (f" to {_shown(last)}" if last not in (None, value) else "")
    return f"{trait.name} {shown} {trait.unit}".rstrip()


def _shown(value: Value | None) -> str:
    if isinstance(value, tuple):
        return "(" + ", ".join(f"{number:.3g}" for number in value) + ")"
    return f"{value:.15g}" if isinstance(value, float) else str(value).replace("\\", "/")


def _listed(phases: Sequence[Phase]) -> str:
    words = [f"{number}: {phase.title} ({len(phase.frames)} slices)" for number, phase in enumerate(phases)]
    if len(words) > _LISTED:
        words = [*words[: _LISTED // 2], "...", words[-1]]
    return "; ".join(words)
