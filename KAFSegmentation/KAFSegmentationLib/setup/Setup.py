"""Set-up inside Slicer: asks once, installs, verifies in another process, says in one sentence what is wrong.

The panel asks ``isReady()`` often and calls ``run(parent)`` when a person presses Set up; a script calls
``run(consent=True)``. Torch is never imported here.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from slicer.i18n import tr as _

from kaf.runtime.errors import InputError, KafError, ResourceError
from KAFSegmentationLib.setup.Findings import notLoaded
from KAFSegmentationLib.setup.ModelFiles import addModels
from KAFSegmentationLib.setup.Packages import Packages
from KAFSegmentationLib.setup.SetupPlan import SetupPlan, checkDisk, makePlan, megabytes
from KAFSegmentationLib.setup.SetupSettings import SetupSettings

if TYPE_CHECKING:
    import qt

    from KAFSegmentationLib.setup.Interpreter import Interpreter
    from KAFSegmentationLib.setup.PackageInstaller import PackageInstaller
    from KAFSegmentationLib.setup.SetupDialogs import SetupDialogs

REQUIREMENTS = Path(__file__).resolve().parents[2] / "Resources" / "requirements.txt"
INSTALL, FOLDER, OTHER_PYTHON = "install", "folder", "python"  # what the dialog answers; nothing declines
_SECONDS_TO_VERIFY = 240.0  # a cold disk, and a virus scanner in the way of torch's thousands of files


class Setup:
    """Which Python KAF runs in, and what it takes to make that so.

    Every argument is made for Slicer unless given: ``packages`` knows what is there, ``installer`` changes it,
    ``dialogs`` asks, ``settings`` remembers, ``interpreter(path)`` starts a Python to look at it.
    """

    def __init__(self, packages: Packages | None = None, installer: PackageInstaller | None = None,
                 dialogs: SetupDialogs | None = None, settings: SetupSettings | None = None,
                 interpreter: Callable[[str], Interpreter] | None = None):
        self._packages = packages or Packages(REQUIREMENTS)
        self._madeInstaller, self._givenDialogs = installer, dialogs
        self._settings = settings or SetupSettings()
        self._interpreter = interpreter or _interpreterFor
        self._running = self._ready = self._awaitsRestart = False
        self._words = self._detail = ""

    def isReady(self) -> bool:
        """Whether KAF can run, as far as metadata and the last verification tell; takes milliseconds."""
        if not self._ready:
            external = self._settings.externalPython()
            if external:
                self._ready = bool(_stamp(external)) and self._settings.checkedPython() == _stamp(external)
            else:
                self._ready = not self._plan().isNeeded and not self._isKnownToFail()
        return self._ready

    def python(self) -> str:
        """The interpreter for the worker: the one that the user chose, else Slicer's own."""
        from KAFSegmentationLib.backend.Backend import slicerPython

        return self._settings.externalPython() or slicerPython()

    def statusText(self) -> str:
        """One sentence for the panel."""
        if self._words:
            return self._words
        external = self._settings.externalPython()
        if self.isReady():
            if external:
                return _("Ready; uses the Python {path}.").format(path=external)
            return _("Ready; uses PyTorch {version}.").format(version=self._packages.version("torch"))
        if external:
            return _("The Python {path} has changed and must be checked: press Set up.").format(path=external)
        plan = self._plan()
        return plan.summary() if plan.isNeeded else \
            _("PyTorch or another package is installed but cannot be loaded: press Diagnose for the reason.")

    def mustContinue(self) -> bool:
        """True when Slicer was restarted in the middle of set-up, not while a person puts that restart off."""
        return self._settings.isPending() and not self._awaitsRestart

    def run(self, parent: qt.QWidget | None = None, consent: bool = False) -> bool:
        """Asks (once), installs what is missing, verifies.

        Args:
            parent: widget that the dialogs belong to.
            consent: for scripts: the question was answered elsewhere. Without it nothing is installed where
                nobody can be asked (batch mode, tests).

        Returns:
            Whether KAF can run now; if not, ``statusText()`` says why and what to do.
        """
        return self._guarded(parent, lambda dialogs: self._provide(dialogs, consent))

    def useOtherPython(self, parent: qt.QWidget | None = None) -> bool:
        """Asks for a Python outside Slicer, checks it and remembers it; returns whether KAF can run now."""
        return self._guarded(parent, self._choosePython)

    def useSlicerPython(self) -> None:
        """Goes back from another Python to Slicer's own."""
        self._settings.setExternalPython("")
        self._ready, self._words = False, ""

    def diagnose(self) -> str:
        """The report for the Diagnose button. Looks into the interpreter, which takes some seconds."""
        from KAFSegmentationLib.backend.Models import listModels
        from KAFSegmentationLib.setup import Diagnosis

        dialogs = self._dialogs()
        dialogs.showBusy(_("Checking Python and its packages..."))
        try:
            python, requirements = self.python(), self._packages.requirements()
            findings = self._interpreter(python).probe(requirements, _SECONDS_TO_VERIFY)
            installer = self._installer()
            return Diagnosis.report(_slicerVersion(), python, findings, requirements, installer.sitePackages,
                                    listModels(), installer.hasPyTorchExtension())
        finally:
            dialogs.hideBusy()

    def _guarded(self, parent, provide) -> bool:
        """Provides the packages, verifies them, and turns every failure into the status and one message."""
        if self._running:  # Slicer draws itself while pip runs, so the button can be pressed again
            return False
        self._running, self._ready, self._words, self._detail = True, False, "", ""
        dialogs = self._dialogs(parent)
        try:
            folder = provide(dialogs)
            if folder is None:
                return False
            self._verify(dialogs)
            if folder:
                self._addModels(folder, dialogs)
            return True
        except KafError as error:
            self._words = str(error)
            dialogs.hideBusy()
            if dialogs.mayAsk():
                dialogs.tell(self._words, self._detail)
            return False
        finally:
            dialogs.hideBusy()
            self._running = False

    def _provide(self, dialogs, consent: bool) -> str | None:
        """Makes the packages be there. Returns the folder they came from, or "" where it was none, or None: it
        was declined, or Slicer has to restart first."""
        consent = consent or self._settings.isPending()
        self._settings.setPending(False)  # also where somebody else has installed everything meanwhile
        plan = self._plan()
        if self._settings.externalPython() or not plan.isNeeded:
            return ""
        answer = INSTALL
        if not consent:
            if not dialogs.mayAsk():
                return self._stop(_("KAF is not set up, and nobody can be asked here: open KAF Segmentation in Slicer "
                                    "and press Set up, or call Setup().run(consent=True)."))
            answer = dialogs.askConsent(plan, str(self._installer().sitePackages))
        if answer == INSTALL:
            return self._install(plan, dialogs)
        if answer == FOLDER:
            return self._installFromFolder(plan, dialogs)
        if answer == OTHER_PYTHON:
            return self._choosePython(dialogs)
        return self._decline(plan)

    def _decline(self, plan: SetupPlan) -> str | None:
        return self._stop(_("Nothing was installed. {plan}").format(plan=plan.summary()))

    def _install(self, plan: SetupPlan, dialogs) -> str | None:
        if plan.obstacle:
            raise ResourceError("PyTorch", plan.obstacle, _("Press Set up and choose another Python."))
        installer = self._installer()
        checkDisk(plan, self._installer().sitePackages)
        if plan.needsTorch and not plan.hasExtension:
            dialogs.showBusy(_("Installing the PyTorch extension..."))
            installer.installPyTorchExtension()
            dialogs.hideBusy()
            return self._restart(dialogs)
        if plan.torchState == "broken":
            dialogs.showBusy(_("Removing the broken PyTorch..."))
            installer.removeBrokenTorch()
        if plan.needsTorch:
            text = _("Downloading and installing PyTorch, about {size}. This can take several minutes...")
            dialogs.showBusy(text.format(size=megabytes(plan.torchMegabytes)))
            installer.installTorch(plan.torchRequirement)
        dialogs.hideBusy()  # pip brings a window of its own
        if plan.packages:
            installer.installPackages(plan.packages)
        return ""

    def _restart(self, dialogs) -> str | None:
        self._settings.setPending(True)
        self._awaitsRestart = True
        if dialogs.mayAsk() and dialogs.confirmRestart():
            self._installer().restart()
        return self._stop(_("The PyTorch extension is installed: restart Slicer to continue the set-up in this panel."))

    def _installFromFolder(self, plan: SetupPlan, dialogs) -> str | None:
        folder = dialogs.chooseFolder()
        if not folder:
            return self._decline(plan)
        if not any(Path(folder).glob("*.whl")):
            raise InputError(folder, _("it contains no wheels (.whl files)"),
                             _("Choose the folder that `pip download` has filled."))
        checkDisk(plan, self._installer().sitePackages)
        self._installer().installFromFolder(folder, plan)
        return folder

    def _choosePython(self, dialogs) -> str | None:
        chosen = dialogs.choosePython()
        if not chosen:
            return self._stop(_("No Python was chosen."))
        self._settings.setExternalPython(chosen)
        return ""

    def _verify(self, dialogs) -> None:
        """Loads everything once in the Python that the worker will have.

        Raises:
            ResourceError: it cannot; an external Python is forgotten then, so that Set up asks anew.
        """
        dialogs.showBusy(_("Checking PyTorch and the packages..."))
        python, requirements = self.python(), self._packages.requirements()
        findings = self._interpreter(python).probe(requirements, _SECONDS_TO_VERIFY)
        problem = findings.problem(requirements)
        self._detail = findings.detail
        external = self._settings.externalPython()
        if not external:
            self._settings.setFailedPackages(self._packages.fingerprint() if problem else "")
        if not problem:
            self._settings.setCheckedPython(_stamp(external) if external else "")
            return
        if external:
            self._settings.setExternalPython("")
        raise notLoaded(findings, requirements, problem, external)

    def _addModels(self, folder: str, dialogs) -> None:
        failures = addModels(folder, self._interpreter(self.python()), dialogs)
        if failures:
            self._detail = "\n".join(failures)
            reason = _("1 model could not be added ({first})") if len(failures) == 1 else \
                _("{count} models could not be added ({first})")
            raise InputError(folder, reason.format(count=len(failures), first=failures[0]),
                             _("The packages are installed; check the model file and press Set up again."))

    def _isKnownToFail(self) -> bool:
        failed = self._settings.failedPackages()
        return bool(failed) and failed == self._packages.fingerprint()

    def _stop(self, words: str) -> str | None:
        self._words = words
        return None

    def _plan(self) -> SetupPlan:
        return makePlan(self._packages, self._installer().hasPyTorchExtension())

    def _installer(self):
        if self._madeInstaller is None:
            from KAFSegmentationLib.setup.PackageInstaller import PackageInstaller

            self._madeInstaller = PackageInstaller()
        return self._madeInstaller

    def _dialogs(self, parent=None):
        if self._givenDialogs is not None:
            return self._givenDialogs
        from KAFSegmentationLib.setup.SetupDialogs import SetupDialogs

        return SetupDialogs(parent)


def _interpreterFor(path: str):
    import slicer

    from KAFSegmentationLib.backend.Backend import environmentFor
    from KAFSegmentationLib.setup.Interpreter import Interpreter

    return Interpreter(path, environmentFor(path), slicer.app.processEvents)


def _slicerVersion() -> str:
    import slicer

    app = slicer.app
    return f"{app.majorVersion}.{app.minorVersion}, revision {app.revision}"


def _stamp(path: str) -> str:
    """Changes when another program lies there; empty when none does."""
    try:
        found = os.stat(path)
    except OSError:
        return ""
    return f"{path};{found.st_size};{found.st_mtime_ns}"
