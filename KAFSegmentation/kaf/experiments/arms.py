"""The arms of an experiment: what each one changes in the settings that all share."""

from __future__ import annotations

from typing import Any

import torch

from kaf.data.plan import compact_network
from kaf.network import build_network
from kaf.network.build import count_parameters
from kaf.settings.base import build
from kaf.settings.compare import PLAIN, PLAIN_LARGE, SCRATCH, ArmSettings, CompareSettings
from kaf.settings.network import NetworkSettings


def arm_of(name: str, settings: CompareSettings) -> ArmSettings:
    """What an arm changes, from its name or from the settings."""
    if name in settings.arms:
        return settings.arms[name]
    base = name.removesuffix("+unlabelled")
    change: dict[str, Any] = {"unlabelled": settings.unlabelled or settings.data} if base != name else {}
    network = _network(settings)
    if base == SCRATCH:
        return ArmSettings(finetune={**change, "network": network.model_dump()})
    if base in (PLAIN, PLAIN_LARGE):
        plain = network.model_copy(update={"fusion": "none", "decoder_width": None})
        if base == PLAIN_LARGE:
            plain = _of_equal_size(plain, count_parameters(build_network(network)))
        return ArmSettings(finetune={**change, "network": plain.model_dump()})
    return ArmSettings(pretrain={"method": base, "network": network.model_dump()}, finetune=change)


def _network(settings: CompareSettings) -> NetworkSettings:
    given = settings.finetune.get("network") or settings.pretrain.get("network")
    context = settings.finetune.get("slice_context", settings.pretrain.get("slice_context", 0))
    return build(NetworkSettings, given) if given else compact_network(2, int(context))


def _of_equal_size(plain: NetworkSettings, parameters: int) -> NetworkSettings:
    """The width whose number of parameters is nearest."""
    with torch.device("meta"):  # shapes without weights
        sizes = {width: count_parameters(build_network(plain.model_copy(update={"width": width})))
                 for width in range(4, 129, 2)}
    return plain.model_copy(update={"width": min(sizes, key=lambda width: abs(sizes[width] - parameters))})
