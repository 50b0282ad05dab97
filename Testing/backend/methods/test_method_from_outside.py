"""A method from another distribution: registered by an entry point, it is there like the methods of kaf."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from small_models import write_phantoms

import kaf.methods.registry
from kaf.methods.registry import method_class
from kaf.modelfile.card import read_card
from kaf.runs.layout import checkpoints
from kaf.runtime.errors import SettingsError
from kaf.runtime.events import Metric, from_json
from kaf.settings import methods, pretrain
from kaf.settings.methods import Registry

HOME = Path(kaf.__file__).parents[1]
NUMBERS = itertools.count()
PARTS = {
    "__init__": '"""A toy."""',
    "info": """
from kaf.settings.methods import MethodInfo

INFO = MethodInfo("Toy", "predicts the mean intensity of a slice", trains=("encoder",))
""",
    "settings": """
import sys

from pydantic import Field

from kaf.settings.base import Settings

assert "torch" not in sys.modules, "the settings of a method are read without torch"


class ToySettings(Settings):
    strength: float = Field(2.0, gt=0, description="how much brightness counts")


SETTINGS = ToySettings(strength=3.0)
""",
    "method": """
import numpy as np
from torch import nn

from kaf.methods.base import LossOutput, Method, bottleneck_width
from kaf.methods.sheet import Sheet
from kaf.runtime.events import Message
from toy_kaf.info import INFO


class Toy(Method):
    views = ("anchor",)
    trains = INFO.trains

    def __init__(self, settings, network):
        super().__init__(settings, network)
        self.settings = settings
        self.head = nn.Linear(bottleneck_width(network), 1)

    def forward(self, given, teacher=None):
        mean = given.batch.views["anchor"].image.mean((1, 2, 3))
        found = self.head(given.features["anchor"].bottleneck.mean((2, 3))).squeeze(1)
        loss = self.settings.strength * (found - mean).square().mean()
        return LossOutput(loss, {"brightness": loss.detach()})

    def picture(self, given):
        return Sheet("toy", "A toy's picture", [("Toy", [np.zeros((8, 8, 3), np.uint8)])], [])


METHOD = Toy
""",
}


def install(folder: Path, name: str = "toy", package: str = "toy_kaf", **parts: str) -> Path:
    """A package as pip would leave it in ``folder``."""
    home = folder / package
    home.mkdir(parents=True)
    for part, text in {**PARTS, **parts}.items():
        (home / f"{part}.py").write_text(text.replace("toy_kaf", package))
    (home / "presets").mkdir()
    (home / "presets" / f"{package}-small.json").write_text(json.dumps(
        {"about": "the toy, for two CPU cores", "method": f"{name}:2", "minutes": 1}))
    known = folder / f"{package}-1.0.dist-info"
    known.mkdir()
    (known / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (known / "entry_points.txt").write_text(f"[kaf.methods]\n{name} = {package}\n")
    return folder


def run_kaf(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    paths = os.pathsep.join([str(folder), str(HOME)])
    return subprocess.run([sys.executable, "-m", "kaf", *map(str, arguments)], capture_output=True, text=True,
                          check=False, env={**os.environ, "PYTHONPATH": paths, "COLUMNS": "200"})


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    return install(tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    return write_phantoms(tmp_path_factory.mktemp("home") / "scans")


def test_its_flags_and_presets_are_those_of_the_command(installed):
    reported = run_kaf(installed, "pretrain", "--help").stdout
    assert "--toy.strength" in reported
    assert "how much brightness counts (default: 3.0)" in reported
    assert "predicts the mean intensity of a slice" in reported
    assert "--bim.clusters" in reported
    presets = run_kaf(installed, "pretrain", "--presets").stdout
    assert "toy_kaf-small" in presets
    assert "kaf-compact" in presets


@pytest.mark.parametrize(("method", "trained"), [("toy", ("encoder",)),
                                                 ("toy+bim:0.5", ("encoder", "decoder", "clusters"))])
def test_it_pretrains_alone_and_with_others(installed, scans, tmp_path, method, trained):
    settings = tmp_path / "settings.json"
    settings.write_text(json.dumps({
        "cache": str(tmp_path / "cache"), "device": "cpu", "threads": 1, "precision": "fp32", "patch": 32, "batch": 4,
        "network": {"width": 4, "decoder_width": 4, "blocks": 1, "token_width": 8, "heads": 2, "diffusion_width": 4},
        "bim": {"clusters": 5, "heads": 2, "window": 3}}))
    run = tmp_path / "run"
    done = run_kaf(installed, "pretrain", scans, "--output", run, "--settings", settings, "--method", method,
                   "--toy.strength", "1.5", "--steps", "10")
    assert done.returncode == 0, done.stderr
    assert read_card(run / "model.safetensors").trained_modules == trained
    assert json.loads((run / "settings.json").read_text())["toy"] == {"strength": 1.5}
    metrics = [event for event in map(from_json, (run / "events.jsonl").read_text().splitlines())
               if isinstance(event, Metric)]
    terms = {name for event in metrics for name in event.values}
    assert "toy: brightness" in terms
    assert ("bim: information" in terms) == ("bim" in method)
    assert (run / "pictures" / "toy-00000010.png").is_file()
    assert checkpoints(run / "checkpoints")


@pytest.fixture
def found(tmp_path, monkeypatch):
    """Registers a package with one part changed, and what is then found in this process."""
    def find(package: str, **changed: str) -> Registry:
        monkeypatch.syspath_prepend(install(tmp_path / package, package=package, **changed))
        made = methods.registry.__wrapped__()
        for module in (pretrain, kaf.methods.registry):
            monkeypatch.setattr(module, "registry", lambda: made)
        return made

    return find


@pytest.mark.parametrize(("changed", "reason"), [
    ({"info": "raise OSError('no licence')"}, r"toy_\d+ cannot be loaded \(OSError: no licence\)"),
    ({"info": "INFO = 7"}, r"toy_\d+ cannot be loaded \(TypeError: INFO is not a MethodInfo\)"),
    ({"settings": "SETTINGS = {}"}, "SETTINGS is not a settings object"),
    ({"settings": "import nothing_of_this_name"}, "ModuleNotFoundError"),
    ({"name": "batch"}, "pretraining has another setting of this name"),
    ({"name": "Toy-1"}, "its name is not in lower case letters, digits and underscores"),
])
def test_a_method_that_cannot_be_used_says_why_and_harms_no_other(found, changed, reason):
    name = changed.get("name", "toy")
    made = found(f"toy_{next(NUMBERS)}", **changed)  # a module is imported once
    fields = pretrain._fields_of_methods()
    assert name not in fields
    assert list(fields) == list(made.methods)
    assert "bim" in fields
    with pytest.raises(ValueError, match=f"method '{name}' cannot be used: .*{reason}"):
        pretrain.parse_method(f"{name}+bim")


def test_a_class_that_is_no_method_is_an_error_of_the_run(found):
    found("toy_class", method="METHOD = print")
    with pytest.raises(SettingsError, match=r"method toy: .*METHOD is not a subclass of kaf\.methods\.base\.Method"):
        method_class("toy")


def test_the_name_of_a_method_of_kaf_is_taken(found):
    made = found("toy_bim", name="bim")
    assert made.methods["bim"].package == "kaf.methods.bim"
    assert made.broken == {"bim of toy_bim": "its name is taken by kaf.methods.bim"}
