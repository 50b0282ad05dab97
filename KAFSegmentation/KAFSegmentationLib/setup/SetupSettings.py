"""What set-up remembers on this computer, in Slicer's settings; none of it goes into a scene."""

from __future__ import annotations

from typing import Any

_PYTHON = "KAFSegmentation/Python"
_CHECKED = "KAFSegmentation/PythonChecked"
_FAILED = "KAFSegmentation/PackagesFailed"
_PENDING = "KAFSegmentation/SetupAfterRestart"


class SetupSettings:
    """Texts in a QSettings, which gives texts back whatever was put in; ``store`` is one, made unless given."""

    def __init__(self, store: Any = None):
        if store is None:
            import qt

            store = qt.QSettings()
        self._store = store

    def externalPython(self) -> str:
        """The Python that the user chose; empty for Slicer's own."""
        return self._text(_PYTHON)

    def setExternalPython(self, path: str) -> None:
        self._store.setValue(_PYTHON, path)
        self._store.setValue(_CHECKED, "")

    def checkedPython(self) -> str:
        """The stamp of the external Python when it was last found to be good."""
        return self._text(_CHECKED)

    def setCheckedPython(self, stamp: str) -> None:
        self._store.setValue(_CHECKED, stamp)

    def failedPackages(self) -> str:
        """The fingerprint of the packages that are there but could not be loaded; empty if there are none."""
        return self._text(_FAILED)

    def setFailedPackages(self, fingerprint: str) -> None:
        self._store.setValue(_FAILED, fingerprint)

    def isPending(self) -> bool:
        """Whether Slicer was restarted in the middle of set-up."""
        return self._text(_PENDING) == "yes"

    def setPending(self, pending: bool) -> None:
        self._store.setValue(_PENDING, "yes" if pending else "")

    def _text(self, key: str) -> str:
        return str(self._store.value(key, "") or "")
