"""The arms of an experiment: what all share, what each one changes in it, and settings that no network would get."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from kaf.data.plan import compact_network
from kaf.network import build_network
from kaf.network.build import count_parameters
from kaf.runtime.errors import SettingsError
from kaf.runtime.no_compiler import outline
from kaf.settings.base import build, merged
from kaf.settings.compare import PLAIN, PLAIN_LARGE, SCRATCH, ArmSettings, CompareSettings
from kaf.settings.methods import method_names
from kaf.settings.network import NetworkSettings, from_base
from kaf.settings.pretrain import BUDGETS, over_preset, parse_method

# How scans are prepared and for which network: the same for networks that start from weights and for those that do not.
COMMON = ("spacing", "slicing_axis", "slice_context", "normalisation", "keypoints", "network")
_SET_HERE = ("data", "output", "leave_out", "resume", "overwrite")  # by the experiment, whatever a recipe says
_FINETUNE_HERE = (*_SET_HERE, "seed", "cases", "few_shot", "init_from", "splits", "fold")


def shared_recipes(settings: CompareSettings) -> tuple[dict[str, Any], dict[str, Any]]:
    """The recipes (pretraining, fine-tuning) that all arms share; a preset is opened, and how scans are prepared and
    the network, wherever they are said, are in both.

    Raises:
        SettingsError: the two recipes say something else of these.
    """
    pretrain = over_preset(dict(settings.pretrain))
    finetune = dict(settings.finetune)
    common = dict[str, Any]()
    for name in COMMON:
        found = [recipe[name] for recipe in (finetune, pretrain) if recipe.get(name) is not None]
        if len(found) == 2 and _plain(found[0]) != _plain(found[1]):
            preset = f" (of preset {pretrain['preset']})" if name not in settings.pretrain else ""
            raise SettingsError(
                f"finetune.{name}", f"is {_plain(found[0])}, but pretrain.{name}{preset} is {_plain(found[1])}: "
                "networks that start from pretrained weights would use the one, those from random weights the other",
                "Say it in one of the two; both use it.")
        common |= {name: found[0]} if found else {}
    return {**pretrain, **common}, {**finetune, **common}


def pretraining_of(arm: ArmSettings, shared: Mapping[str, Any]) -> dict[str, Any]:
    """The recipe of an arm's pretraining, over the shared one; how long an arm goes on replaces how long all do."""
    own = arm.pretrain or {}
    timed = any(own.get(name) is not None for name in BUDGETS)
    return merged({name: value for name, value in shared.items() if not (timed and name in BUDGETS)}, own)


def _plain(value: Any) -> str:
    """As JSON, in which equal settings are equal texts."""
    return json.dumps(value, sort_keys=True, default=lambda item: item.model_dump())


def arm_of(name: str, settings: CompareSettings) -> ArmSettings:
    """What an arm changes, from its name or from the settings."""
    if name in settings.arms:
        arm = settings.arms[name]
        opened = arm.pretrain and over_preset(dict(arm.pretrain))
        return ArmSettings(pretrain=opened, finetune=arm.finetune)
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
    _, common = shared_recipes(settings)
    given, context = common.get("network"), int(common.get("slice_context", 0))
    return build(NetworkSettings, from_base(given)) if given else compact_network(2, context)


def _of_equal_size(plain: NetworkSettings, parameters: int) -> NetworkSettings:
    """The width whose number of parameters is nearest."""
    with outline():
        sizes = {width: count_parameters(build_network(plain.model_copy(update={"width": width})))
                 for width in range(4, 129, 2)}
    return plain.model_copy(update={"width": min(sizes, key=lambda width: abs(sizes[width] - parameters))})


def check_used(settings: CompareSettings, arms: Mapping[str, ArmSettings]) -> None:
    """Whether every setting that was given reaches a network.

    Raises:
        SettingsError: one does not: the table would be taken for that of another experiment.
    """
    recipes = [("finetune", settings.finetune, _FINETUNE_HERE), ("pretrain", settings.pretrain, _SET_HERE)]
    for name, arm in settings.arms.items():
        recipes += [(f"arms.{name}.finetune", arm.finetune, _FINETUNE_HERE),
                    (f"arms.{name}.pretrain", arm.pretrain or {}, _SET_HERE)]
        if arm.pretrain is not None and (lost := [key for key in COMMON if key in arm.finetune]):
            raise _unused(f"arms.{name}.finetune.{lost[0]}", "it is that of the weights that the arm starts from",
                          f"Set arms.{name}.pretrain.{lost[0]}.")
    for where, recipe, fixed in recipes:
        if lost := [key for key in fixed if key in recipe]:
            raise _unused(f"{where}.{lost[0]}", "the experiment decides it", "Leave it out.")
    _check_pretraining_used(settings, arms)


def _check_pretraining_used(settings: CompareSettings, arms: Mapping[str, ArmSettings]) -> None:
    if settings.protocol:  # whose arms need not be all of them
        return
    methods = {method for arm in arms.values() if arm.pretrain is not None
               for method in parse_method({**settings.pretrain, **arm.pretrain}.get("method", "kaf"))}
    given = [key for key in settings.pretrain if key not in (*COMMON, "preset")]
    if "method" in given and all(name not in settings.arms or "method" in (settings.arms[name].pretrain or {})
                                 for name in arms):
        raise _unused("pretrain.method", "the arms name their methods", "Leave it out, or name it in methods.")
    for key in given:
        if not methods:
            raise _unused(f"pretrain.{key}", "no arm is pretrained", "Leave it out, or add an arm such as kaf.")
        if key in method_names() and key not in methods:
            raise _unused(f"pretrain.{key}", f"no arm is pretrained with {key}", "Leave it out, or add such an arm.")
    for name in ("unlabelled", "transductive"):
        mixed = name == "unlabelled" and any(arm.endswith("+unlabelled") for arm in settings.methods)
        if getattr(settings, name) and not methods and not mixed:
            raise _unused(name, "no arm is pretrained", "Leave it out, or add an arm such as kaf.")


def _unused(setting: str, reason: str, remedy: str) -> SettingsError:
    return SettingsError(setting, f"is not used: {reason}", remedy)
