"""Which labels of a model are the ventricles and the muscle: by their names, unless somebody says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kaf.runtime.errors import InputError

_RIGHT, _LEFT, _MUSCLE, _CAVITY = ("right", "rv"), ("left", "lv"), ("myocard", "muscle", "wall"), ("cavity", "blood")


@dataclass(frozen=True)
class HeartLabels:
    """Label values; None for what the model does not segment."""

    lv: int
    myocardium: int | None
    rv: int | None


def heart_labels(names: Mapping[int, str], model: str, lv: int | None = None, myocardium: int | None = None,
                 rv: int | None = None) -> HeartLabels:
    """The labels of a model with these names.

    Raises:
        InputError: no left ventricular cavity, or a value that the model does not have.
    """
    for value in (lv, myocardium, rv):
        if value is not None and value not in names:
            raise InputError(f"model {model}", f"has no label {value}", "See `kaf models show` for its structures.")
    lower = {value: name.casefold() for value, name in names.items()}
    muscles = [value for value, name in lower.items() if any(word in name for word in _MUSCLE)
               and not _is(name, _RIGHT)]
    hollow = {value: name for value, name in lower.items() if not any(word in name for word in _MUSCLE)
              and ("ventric" in name or "cavity" in name or name in ("lv", "rv"))}
    if lv is None:
        lefts = sorted((not any(word in name for word in _CAVITY), value) for value, name in hollow.items()
                       if _is(name, _LEFT))
        if not lefts:
            raise InputError(f"model {model}", f"has no left ventricular cavity among {', '.join(names.values())}",
                             "Choose a model for short-axis hearts, or name its label with --lv.")
        lv = lefts[0][1]
    if rv is None:
        rv = next((value for value, name in hollow.items() if _is(name, _RIGHT)), None)
    if myocardium is None:
        myocardium = muscles[0] if muscles else None
    return HeartLabels(lv, myocardium, rv)


def _is(name: str, side: tuple[str, str]) -> bool:
    return side[0] in name or name.split()[0] == side[1]
