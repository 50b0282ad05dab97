"""``dataset.json`` as the Medical Segmentation Decathlon and nnU-Net write it: names of structures, the value to
ignore, channels, and what it says about the files.

Isensee et al., nnU-Net, Nature Methods 18:203-211, 2021; Antonelli et al., Nature Communications 13:4128, 2022.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kaf.data.pairing import count, some
from kaf.runtime import json_files
from kaf.runtime.plain_text import one_line

FILE = "dataset.json"
_BACKGROUND = ("background", "bg", "clear label")


@dataclass(frozen=True)
class Description:
    """What dataset.json says; empty where there is none.

    Attributes:
        names: name of each value but the background, in the order of the values.
        ignore: value of voxels that nobody has labelled.
        regions: name -> values, where structures are defined as several values together (nnU-Net's regions).
        channels: name of each input channel, by number.
        partial: "missing" where a structure that a label map lacks was not drawn there; or case -> names or values of
            the structures that were drawn in it.
        original: value in the label maps -> value that they had before ``kaf data convert`` numbered them anew.
        files: paths below the folder that it names.
        problems: sentences for the user.
    """

    names: dict[int, str] = field(default_factory=dict)
    ignore: int | None = None
    regions: dict[str, tuple[int, ...]] = field(default_factory=dict)
    channels: dict[int, str] = field(default_factory=dict)
    partial: str | dict[str, tuple[str, ...]] = ""
    original: dict[int, int] = field(default_factory=dict)
    files: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


def read_description(root: str | Path) -> Description:
    """What ``dataset.json`` in the folder says; one that cannot be used is named among its problems."""
    path = Path(root, FILE)
    try:
        values = json_files.read(path)
    except FileNotFoundError:
        return Description()
    except (OSError, ValueError) as error:
        return Description(problems=(f"{FILE} cannot be read ({one_line(str(error))[:200]}), so that structures are "
                                     "named by their values. Fix it, or remove it",))
    if not isinstance(values, dict):
        return Description(problems=(f"{FILE} is not a JSON object. Fix it, or remove it",))
    names, regions, problems = _labels(values.get("labels"))
    ignore = next((value for value, name in names.items() if name.casefold() == "ignore"), None)
    names = {value: name for value, name in sorted(names.items()) if value > 0 and value != ignore}
    if regions:
        named = ", ".join(f"{name} ({'+'.join(map(str, of))})" for name, of in regions.items())
        problems.append(f"{FILE} defines structures as several values together: {named}. KAF learns the values "
                        f"themselves, so that each voxel has one: {', '.join(f'{v} = {n}' for v, n in names.items())}")
    return Description(names, ignore, regions, _numbered(values.get("channel_names", values.get("modality"))),
                       _partial(values.get("kaf_partial"), problems),
                       {v: int(o) for v, o in _numbered(values.get("kaf_values"), int).items()}, _files(values),
                       tuple(problems))


def _labels(labels: Any) -> tuple[dict[int, str], dict[str, tuple[int, ...]], list[str]]:
    """Names by value, and regions, of either way to write them: name -> value(s), or value -> name."""
    names: dict[int, str] = {}
    groups: dict[str, tuple[int, ...]] = {}
    odd: list[str] = []
    for key, value in labels.items() if isinstance(labels, dict) else ():
        if isinstance(value, str) and key.isdecimal():
            names[int(key)] = one_line(value)
        elif isinstance(value, int) and not isinstance(value, bool):
            names[value] = one_line(key)
        elif isinstance(value, list) and value and all(isinstance(v, int) and not isinstance(v, bool) for v in value):
            groups[one_line(key)] = tuple(sorted(value))
        else:
            odd.append(one_line(key))
    problems = []
    if odd:
        problems.append(f"{FILE}: {count(odd, 'label')} that cannot be understood: {some(odd)}. Write name: value")
    if labels is not None and not isinstance(labels, dict):
        problems.append(f"{FILE}: labels is no mapping of names and values. Write {{name: value}}")
    if not groups:
        return names, {}, problems
    for name, values in list(groups.items()):
        if len(values) == 1 and name.casefold() not in _BACKGROUND:
            names[values[0]] = name
    regions = {name: values for name, values in groups.items() if len(values) > 1}
    inside = {**{name: (value,) for value, name in names.items()}, **regions}
    for value in sorted({v for values in regions.values() for v in values} - names.keys()):
        names[value] = _innermost(value, inside)
    return names, regions, problems


def _innermost(value: int, regions: Mapping[str, tuple[int, ...]]) -> str:
    """A name for a value that has none of its own: the smallest region that holds it, less those within it."""
    holding = sorted((len(values), name) for name, values in regions.items() if value in values)
    name = holding[0][1]
    within = [other for other, values in regions.items()
              if value not in values and set(values) < set(regions[name]) and other.casefold() != "ignore"]
    largest = [other for other in within
               if not any(set(regions[other]) < set(regions[bigger]) for bigger in within)]
    return f"{name} without {' and '.join(largest)}" if largest else f"{name} (value {value})"


def _numbered(values: Any, kind: type = str) -> dict[int, Any]:
    if not isinstance(values, dict):
        return {}
    return {int(key): one_line(value) if kind is str else value for key, value in sorted(values.items())
            if str(key).isdecimal() and isinstance(value, kind) and not isinstance(value, bool)}


def _partial(value: Any, problems: list[str]) -> str | dict[str, tuple[str, ...]]:
    if value in (None, False):
        return ""
    if value is True or value == "missing":
        return "missing"
    if isinstance(value, dict) and all(isinstance(of, list) for of in value.values()):
        return {str(case): tuple(map(str, of)) for case, of in value.items()}
    problems.append(f'{FILE}: kaf_partial is neither true nor {{case: [structures]}}, and is not used. Correct it')
    return ""


def _files(values: Mapping[str, Any]) -> tuple[str, ...]:
    """Paths that the lists ``training`` and ``test`` of the decathlon, or nnU-Net's ``dataset``, name."""
    found: dict[str, None] = {}
    listed = [item for part in ("training", "test", "validation") if isinstance(values.get(part), list)
              for item in values[part]]
    nnunet = values.get("dataset")
    listed += list(nnunet.values()) if isinstance(nnunet, dict) else []
    for item in listed:
        parts = item.values() if isinstance(item, dict) else [item]
        for part in parts:
            for path in part if isinstance(part, list) else [part]:
                if isinstance(path, str) and path:
                    found[path.removeprefix("./")] = None
    return tuple(found)
