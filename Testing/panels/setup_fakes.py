"""Stand-ins for what set-up works with: packages, installer, dialogs, settings, another Python."""

import importlib.metadata
from pathlib import Path
from types import SimpleNamespace

from kaf.runtime.errors import KafError
from kaf.runtime.events import Error, to_json
from KAFSegmentationLib.setup.Findings import Findings
from KAFSegmentationLib.setup.Packages import Packages
from KAFSegmentationLib.setup.Setup import REQUIREMENTS, Setup
from KAFSegmentationLib.setup.SetupSettings import SetupSettings

GOOD = {
    "monai": "1.5.1", "safetensors": "0.6", "pydantic": "2.11", "pydantic-settings": "2.10",
    "opencv-python-headless": "4.12.0.88", "scikit-image": "0.25.2",
    "pillow": "11.3", "tqdm": "4.67", "einops": "0.8.1", "jinja2": "3.1", "psutil": "7.0",
}  # fmt: skip
TORCH = {"torch": "2.8.0+cpu"}
NO_METADATA = object()
"""As version: the folder of the metadata is there and what should be in it is not."""


class Installed:
    """The packages of a Python: name -> version, and the torch folder that import would find."""

    def __init__(self, versions=None, torchOrigin="torch/__init__.py"):
        self.versions = dict(versions or {})
        self.torchOrigin = torchOrigin

    def distribution(self, name):
        if name not in self.versions:
            raise importlib.metadata.PackageNotFoundError(name)
        version = self.versions[name]
        return SimpleNamespace(metadata=None if version is NO_METADATA else {"Version": version})

    def findSpec(self, name):
        assert name == "torch"
        return SimpleNamespace(origin=self.torchOrigin) if "torch" in self.versions else None

    def packages(self):
        return Packages(REQUIREMENTS, self.distribution, self.findSpec)


class FakeInstaller:
    """Puts the packages into an Installed and writes down what it was asked for; ``fails`` names a step."""

    def __init__(self, installed, folder, extension=True):
        self.installed, self.sitePackages, self.extension = installed, Path(folder), extension
        self.steps, self.fails = [], {}

    def hasPyTorchExtension(self):
        return self.extension

    def installPyTorchExtension(self):
        self._step("extension")

    def installTorch(self, requirement):
        self._step("torch", requirement)
        self.installed.versions.update(TORCH)
        self.installed.torchOrigin = "torch/__init__.py"

    def removeBrokenTorch(self):
        self._step("remove")
        self.installed.versions.pop("torch", None)

    def installPackages(self, requirements):
        self._step("packages", *requirements)
        self.installed.versions.update(GOOD)

    def installFromFolder(self, folder, plan):
        self._step("folder", folder)
        self.installed.versions.update({**GOOD, **TORCH})

    def restart(self):
        self._step("restart")

    def _step(self, name, *arguments):
        self.steps.append((name, *arguments))
        if name in self.fails:
            raise self.fails[name]


class FakeDialogs:
    """Answers as it was told to, and remembers what it was asked and told."""

    def __init__(self, consent="install", folder="", python="", restart=False, present=True):
        self.consent, self.folder, self.pythonPath, self.restart = consent, folder, python, restart
        self.present = present
        self.asked, self.reported, self.busy = [], [], []
        self.busyNow = False

    def mayAsk(self):
        return self.present

    def askConsent(self, plan, where):
        self.asked.append((plan, where))
        return self.consent

    def chooseFolder(self):
        return self.folder

    def choosePython(self):
        return self.pythonPath

    def confirmRestart(self):
        return self.restart

    def tell(self, text, detail=""):
        assert not self.busyNow, "a message behind the progress window cannot be read"
        self.reported.append((text, detail))

    def showBusy(self, text):
        self.busy.append(text)
        self.busyNow = True

    def hideBusy(self):
        self.busyNow = False


class FakeInterpreter:
    """Finds what it was told to find; ``findings`` is a function of the path."""

    def __init__(self, findings):
        self.findings, self.probed, self.runs, self.failures = findings, [], [], {}

    def __call__(self, path):
        def probe(requirements, seconds):
            self.probed.append(path)
            return self.findings(path)

        def run(arguments, seconds, onLine):
            self.runs.append((path, arguments))
            failure = next((why for name, why in self.failures.items() if arguments[4].endswith(name)), "")
            if isinstance(failure, KafError):
                onLine("a library that prints")
                onLine(to_json(Error.of(failure)))
            return "ended with exit code 1" if failure else ""

        return SimpleNamespace(probe=probe, run=run)


class Store(dict):
    """A QSettings: gives back texts."""

    def value(self, key, default=None):
        return self.get(key, default)

    def setValue(self, key, value):
        self[key] = str(value)


def allGood(path=""):
    """What a probe finds where everything is there."""
    return Findings(python="3.12.10", executable=path, machine="x86_64", device="cpu",
                    versions={**GOOD, **TORCH, "numpy": "2.1", "scipy": "1.15", "SimpleITK": "2.5",
                              "kaf.verbs.segment": ""})


class Bench:
    """A Setup with all its stand-ins in reach."""

    def __init__(self, sitePackages, versions=None, extension=True, findings=allGood, **dialogs):
        self.installed = Installed(versions)
        self.installer = FakeInstaller(self.installed, sitePackages, extension)
        self.dialogs = FakeDialogs(**dialogs)
        self.interpreter = FakeInterpreter(findings)
        self.store = Store()
        self.setup = self.again()

    def again(self):
        """What the next start of Slicer makes."""
        return Setup(self.installed.packages(), self.installer, self.dialogs, SetupSettings(self.store),
                     self.interpreter)

    @property
    def steps(self):
        return [step[0] for step in self.installer.steps]
