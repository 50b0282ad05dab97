"""What a run took over from the weights it started from, in words: no key is left out in silence."""

from collections import Counter

from kaf.runtime import json_files
from KAFSegmentationLib.widgets.PlainText import rich

_PARTS = {"encoder": "the encoder", "decoder": "the decoder", "head": "the head", "body": "the network",
          "clusters": "the clusters"}
_KINDS = (("adapted", "fitted to another number of input slices"),
          ("skipped", "not taken: of another size, or not learned before"),
          ("missing", "not in the weights: begin at random"),
          ("unexpected", "in the weights only: not needed"))
_ENOUGH = 0.98


def transferReport(folder):
    """(rich text, tool tip with every key) of the report in a run folder; nothing where it started from random weights.
    """
    try:
        report = json_files.read(folder / "transfer.json")
        coverage = float(report["coverage"])
        lists = {name: [str(key) for key in report[name]] for name in ("loaded", *(kind for kind, _ in _KINDS))}
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        return "", ""
    mark = "" if coverage >= _ENOUGH else " <b>Less than all of what the weights had learned.</b>"
    lines = [f"<b>What was taken over:</b> {100 * coverage:.1f} % of what the weights had learned "
             f"({_where(lists['loaded'])}).{mark}"]
    lines += [f"{_tensors(lists[kind])} {words} ({_where(lists[kind])})." for kind, words in _KINDS if lists[kind]]
    keys = "\n".join(f"{kind}: {name}" for kind in ("loaded", *(kind for kind, _ in _KINDS)) for name in lists[kind])
    return "<br>".join(lines), keys[:4000]


def _tensors(names):
    return "1 tensor" if len(names) == 1 else f"{len(names)} tensors"


def _where(names):
    """The parts of the network that tensors are in, with their numbers."""
    counts = Counter(name.split(".")[0] for name in names)
    return ", ".join(f"{number} in {_PARTS.get(part, rich(part))}" for part, number in counts.most_common())
