"""Weights from one network into another, with a report of every key: nothing is left out silently."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from torch import Tensor, nn

from kaf.runtime.errors import ModelError


@dataclass
class TransferReport:
    """What happened to each tensor; ``coverage`` is the share of the network's parameters that were loaded.

    loaded: same name and shape.  adapted: input channels repeated and scaled.  skipped: same name, but
    another shape, or in none of the named modules.  missing: in the network only (but for batch counters,
    which model files do not hold).  unexpected: in the weights only.
    """

    loaded: list[str] = field(default_factory=list)
    adapted: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    coverage: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def text(self) -> str:
        parts = [f"{len(getattr(self, name))} {name}" for name in
                 ("loaded", "adapted", "skipped", "missing", "unexpected") if getattr(self, name)]
        return f"{100 * self.coverage:.1f} % of the weights transferred ({', '.join(parts)})"


def transfer(network: nn.Module, tensors: Mapping[str, Tensor], source: object,
             modules: Sequence[str] = ("encoder", "decoder", "head"), least: float = 0.0) -> TransferReport:
    """Load what fits of ``tensors`` (of the named top-level modules) into the network.

    The first convolution is adapted to another number of input channels: the mean over the given channels,
    repeated, divided by the new number, times the old one, so that equal channels give an equal answer.

    Raises:
        ModelError: less than ``least`` of the parameters of these modules were loaded.
    """
    report = TransferReport()
    own = network.state_dict()
    inputs = _first_inputs(own, tensors)
    wanted = {name for name in own if name.split(".")[0] in modules}
    for name, value in tensors.items():
        if name not in own:
            report.unexpected.append(name)
        elif name not in wanted:
            report.skipped.append(name)
        elif own[name].shape == value.shape:
            own[name].copy_(value)
            report.loaded.append(name)
        elif inputs and _differs_in_inputs(own[name], value, inputs):
            channels = own[name].shape[1]
            own[name].copy_(value.mean(1, keepdim=True) * (value.shape[1] / channels))
            report.adapted.append(name)
        else:
            report.skipped.append(name)
    report.missing = sorted(
        name for name in own if name not in tensors and not name.endswith("num_batches_tracked"))
    parameters = {name: p.numel() for name, p in network.named_parameters() if name in wanted}
    done = sum(parameters.get(name, 0) for name in report.loaded + report.adapted)
    report.coverage = done / max(1, sum(parameters.values()))
    if report.coverage < least:
        raise ModelError(source, f"fits only {100 * report.coverage:.1f} % of this network "
                         f"(at least {100 * least:.0f} % are needed; {report.text()})",
                         "Use the same network settings as the weights, or other weights.")
    return report


def _first_inputs(own: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> tuple[int, int] | None:
    """Input channels of the first convolution, ours and theirs.

    Only tensors with these are adapted: inputs of deeper ones are features, whose mean would mean nothing.
    """
    first = next((name for name, value in own.items() if value.ndim == 4), "")
    if first not in tensors or tensors[first].ndim != 4:
        return None
    return own[first].shape[1], tensors[first].shape[1]


def _differs_in_inputs(mine: Tensor, theirs: Tensor, inputs: tuple[int, int]) -> bool:
    return (mine.ndim == theirs.ndim == 4 and (mine.shape[1], theirs.shape[1]) == inputs
            and mine.shape[0] == theirs.shape[0] and mine.shape[2:] == theirs.shape[2:]
            and theirs.is_floating_point())
