"""Which weights a run started from were transferred: every tensor is listed."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from slicer.i18n import tr as _

from kaf.runtime import json_files
from KAFSegmentationLib.widgets.PlainText import rich

_LOADED, _OTHERS = "loaded", ("adapted", "skipped", "missing", "unexpected")
_COMPLETE = 0.98
_LONGEST = 4000  # characters of a tool tip


def transferReport(folder: Path) -> tuple[str, str]:
    """(rich text, tool tip with every tensor) of the report in a run folder; empty where a run started from random
    weights."""
    try:
        report = json_files.read(folder / "transfer.json")
        coverage = float(report["coverage"])
        tensors = {kind: [str(key) for key in report[kind]] for kind in (_LOADED, *_OTHERS)}
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        return "", ""
    share = _("Transferred weights: {percent} % of the pretrained ones.").format(percent=f"{100 * coverage:.1f}")
    lines = [f"<b>{rich(share)}</b> {rich(_parts(tensors[_LOADED]))}"]
    if coverage < _COMPLETE:
        lines.append(f"<b>{rich(_('Some of the pretrained weights are not used.'))}</b>")
    lines += [rich(f"{_text(kind).format(count=len(tensors[kind]))} {_parts(tensors[kind])}")
              for kind in _OTHERS if tensors[kind]]
    return "<br>".join(lines), "\n".join(f"{kind}: {name}" for kind, found in tensors.items()
                                         for name in found)[:_LONGEST]


def _text(kind):
    return {"adapted": _("Tensors adapted to another number of input slices: {count}."),
            "skipped": _("Tensors not transferred, of another size or not pretrained: {count}."),
            "missing": _("Tensors not in the weights, initialised at random: {count}."),
            "unexpected": _("Tensors of the weights that are not needed: {count}.")}[kind]


def _parts(tensors):
    """How many tensors lie in each part of the network, in brackets."""
    titles = {"encoder": _("encoder"), "decoder": _("decoder"), "head": _("head"), "body": _("network"),
              "clusters": _("clusters")}
    counts = Counter(name.split(".")[0] for name in tensors)
    return f"({', '.join(f'{titles.get(part, part)}: {number}' for part, number in counts.most_common())})"
