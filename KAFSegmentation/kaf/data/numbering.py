"""Which value stands for which structure, where structures are drawn each by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from kaf.data.case import Case
from kaf.data.description import Description
from kaf.data.pairing import count, some

_MOST = 254  # values of a label map, less that of what nobody has labelled


def number_structures(cases: Sequence[Case], description: Description, problems: list[str]
                      ) -> tuple[list[Case], dict[int, str]]:
    """The cases with a value for each of their structures, and names by value.

    The values are those that dataset.json gives, and structures that it does not name are left out; without it they
    are 1, 2, ... in the order of the names.  The value to ignore is noted with each label map.
    """
    given = {name.casefold(): value for value, name in description.names.items()}
    masked = [case for case in cases if case.masks]
    spelt: dict[str, str] = {}
    for name in sorted({mask.name for case in masked for mask in case.masks}):
        spelt.setdefault(name.casefold(), name)
    if masked and not given:
        maps = [case.name for case in cases if case.label is not None and not case.masks]
        if maps or len(spelt) > _MOST:
            problems.append(_unnumbered(maps, [case.name for case in masked], len(spelt)))
            return [case if case not in masked else case.unlabelled for case in cases], {}
        values = {key: number for number, key in enumerate(sorted(spelt), 1)}
        return [_numbered(case, values) for case in cases], {values[key]: name for key, name in spelt.items()}
    extra = [spelt[key] for key in sorted(spelt) if key not in given]
    if extra:
        problems.append(f"{count(extra, 'structure')} not named in dataset.json, left out: {some(extra)}. To use one, "
                        "add its name and a value there")
    cases = [replace(case, ignore=description.ignore) if case.label is not None and not case.masks else
             _numbered(case, given) for case in cases]
    return cases, dict(description.names)


def _numbered(case: Case, values: dict[str, int]) -> Case:
    masks = tuple(sorted((replace(mask, value=values[mask.name.casefold()]) for mask in case.masks
                          if mask.name.casefold() in values), key=lambda mask: mask.value))
    return replace(case, masks=masks, label=case.label if masks else None) if case.masks else case


def _unnumbered(maps: Sequence[str], masked: Sequence[str], structures: int) -> str:
    if not maps:
        return (f"{structures} structures are drawn each by itself, and a label map has room for {_MOST}; none is "
                "used. Name those that you want in dataset.json (labels: {name: value})")
    return (f"{count(masked, 'scan')} with one mask per structure beside {count(maps, 'scan')} with a label map: which "
            f"value stands for which structure is not known, so that the masks of {some(masked)} are not used. Name "
            "the structures in dataset.json (labels: {name: value})")
