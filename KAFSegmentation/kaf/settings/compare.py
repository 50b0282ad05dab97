"""Settings of a few-shot experiment: which arms, how many labelled patients, which draws and folds.  No torch here."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from kaf.runtime.errors import SettingsError
from kaf.settings.base import Settings, load_values, merged
from kaf.settings.pretrain import parse_method
from kaf.settings.run import RunSettings

SCRATCH, PLAIN, PLAIN_LARGE = "scratch", "unet", "unet-large"

_TINY = {"width": 4, "decoder_width": 8, "blocks": 1, "token_width": 8, "heads": 2, "diffusion_width": 4}
_SMALL = {"batch": 4, "patch": 48, "steps": 2}
_MINIATURE: dict[str, Any] = {
    "few_shot": (2,), "draws": 1, "run_folds": (0,),
    "pretrain": {**_SMALL, "keypoints": {"limit": 24}, "network": _TINY,
                 "kaf": {"width": 8, "token_width": 8, "sinkhorn": 20}},
    "finetune": {**_SMALL, "validate_epochs": 1000}}


class ArmSettings(Settings):
    """One arm: what it changes in the common recipes; ``pretrain`` None means from random weights."""

    pretrain: dict[str, Any] | None = Field(None, description="settings of `kaf pretrain` that this arm changes")
    finetune: dict[str, Any] = Field({}, description="settings of `kaf finetune` that this arm changes")


class CompareSettings(RunSettings):
    """Compare ways to learn from few labels, on the same patients, with paired statistics."""

    data: str = Field(description="folder of labelled scans")
    protocol: str = Field("", description="published experiment to repeat: kaf-acdc, kaf-chd or kaf-synapse; what else "
                                          "is set goes over it")
    miniature: bool = Field(False, description="with a protocol: all of its steps with tiny networks and two training "
                                               "steps each, to see that they run; the figures mean nothing")
    output: str = Field(description="folder of the experiment: runs, cells, table, report")
    methods: tuple[str, ...] = Field(
        (SCRATCH, "kaf"),
        description=f"arms: {SCRATCH} (KAF from random weights), {PLAIN} (a U-Net of the same width), {PLAIN_LARGE} (a "
        "U-Net with as many parameters), or methods to pretrain with, such as kaf or kaf+bim:0.5; with +unlabelled at "
        "the end, fine-tuning also uses unlabelled scans")
    arms: dict[str, ArmSettings] = Field({}, description="further arms, by name (in a settings file)")
    baseline: str = Field("", description="arm that the others are compared with; default: the first")
    pretrain: dict[str, Any] = Field({}, description="pretraining settings that all arms share (in a settings file)")
    finetune: dict[str, Any] = Field({}, description="fine-tuning settings that all arms share (in a settings file)")
    unlabelled: str = Field("", description="folder of scans to pretrain on; default: the scans of the data folder, "
                                            "without their labels")
    few_shot: tuple[int, ...] = Field((2, 6), description="numbers of labelled patients, M")
    seeds: int = Field(1, ge=1, le=100, description="times that every network is trained, each with another seed of "
                       "its pretraining and its fine-tuning; 2 or more show how much runs differ by chance")
    draws: int = Field(3, ge=1, le=100, description="random draws of these patients, nested: those of M = 2 are among "
                                                    "those of M = 6")
    folds: int = Field(5, ge=2, le=100, description="cross-validation folds")
    fold_rule: Literal["kaf", "kfold"] = Field(
        "kaf", description="how folds and labelled patients are drawn; kfold: as PCL and KAF did, scikit-learn's KFold "
        "with shuffling, and random.sample with seed 1234")
    run_folds: tuple[int, ...] = Field((0,), description="folds to run, counted from 0")
    tune: tuple[int, ...] = Field((), description="choose settings on these folds, such as 1,2,3,4: trained and tested "
                                  "without any test patient of the run folds, who stay unopened until the end")
    splits: str = Field("", description="JSON file with the training and test patients of every fold, and the labelled "
                                        "ones for each M if it names them; nnU-Net's form is understood")
    test: str = Field("", description="folder of labelled scans of the test patients, where they are not in the data "
                                      "folder; there is one fold then")
    transductive: bool = Field(False, description="also pretrain on the images of the test patients; the report "
                                                  "states it")
    seed: int = Field(0, ge=0, le=2 ** 31 - 1, description="random seed of the folds")
    best: bool = Field(False, description="also validate on the test patients during fine-tuning and report the best "
                                          "network, as published tables do; its figures are optimistic")
    flips: bool = Field(False, description="test-time augmentation: average over mirrored copies")
    only_report: bool = Field(False, description="train nothing; report the networks that are finished")
    task: int | None = Field(None, ge=0, description="make only this part, counted from 0: first the pretrainings, "
                                                     "then the networks; `kaf submit compare` makes a task of each")

    @model_validator(mode="before")
    @classmethod
    def _from_protocol(cls, values: Any) -> Any:
        """What is given, over the miniature, over the protocol."""
        if not isinstance(values, dict) or not values.get("protocol"):
            return values
        beneath = read_protocol(str(values["protocol"]))
        if "arms" in values:  # in place of those of the protocol
            del beneath["arms"]
        elif "methods" in values:  # of the protocol's arms those that are named
            arms, wanted = beneath["arms"], list(values["methods"])
            beneath["arms"] = {name: arm for name, arm in arms.items() if name in wanted}
            values = {**values, "methods": [name for name in wanted if name not in arms]}
        if values.get("miniature"):
            beneath = _in_miniature(beneath)
        return merged(beneath, values)

    @model_validator(mode="after")
    def _known(self) -> CompareSettings:
        if self.miniature and not self.protocol:
            raise ValueError("miniature is for a protocol, such as kaf-acdc")
        names = self.names
        if len(set(names)) < len(names):
            raise ValueError("an arm is named twice")
        if not names:
            raise ValueError("name at least one arm")
        if self.baseline and self.baseline not in names:
            raise ValueError(f"baseline '{self.baseline}' is not one of the arms: {', '.join(names)}")
        for name in self.methods:
            base = name.removesuffix("+unlabelled")
            if base not in (SCRATCH, PLAIN, PLAIN_LARGE):
                parse_method(base)
        wrong = [fold for fold in self.run_folds if not 0 <= fold < self.folds]
        if wrong and not (self.splits or self.test):
            raise ValueError(f"fold {wrong[0]} does not exist; there are folds 0 to {self.folds - 1}")
        return self

    @property
    def names(self) -> list[str]:
        """All arms, in order."""
        return [*self.methods, *self.arms]

    @property
    def tested_folds(self) -> tuple[int, ...]:
        """The folds whose patients are tested: those to tune on, if any, or the run folds."""
        return self.tune or self.run_folds


def protocol_names() -> dict[str, str]:
    """Name -> what it is, of every protocol."""
    return {name: str(load_values(file)["about"]) for name, file in _protocol_files().items()}


def read_protocol(name: str) -> dict[str, Any]:
    """The settings of a protocol.

    Raises:
        SettingsError: there is none of this name.
    """
    files = _protocol_files()
    if name not in files:  # not asked of the disk: "../x" would leave it
        near = difflib.get_close_matches(name.lower(), files, n=1)
        hint = f"Did you mean {near[0]}?" if near else f"Known: {', '.join(files)}."
        raise SettingsError(f"protocol {name}", "is not known", hint)
    values = load_values(files[name])
    del values["about"]
    return values


def _protocol_files() -> dict[str, Path]:
    folder = Path(__file__).parents[1] / "presets" / "protocols"
    return {file.stem: file for file in sorted(folder.glob("*.json"))}


def _in_miniature(protocol: dict[str, Any]) -> dict[str, Any]:
    """The protocol with everything small; its arms keep what makes them different."""
    made = merged(protocol, _MINIATURE)
    for arm in made.get("arms", {}).values():
        for recipe in arm.values():
            plain = recipe["network"].get("fusion") == "none"
            recipe["network"] |= {**_TINY, "decoder_width": 4} if plain else _TINY
        if own := arm.get("pretrain"):
            own.pop("epochs", None)
            own |= {**_SMALL, "pcl": {**own.get("pcl", {}), "width": 8}}
    return made
