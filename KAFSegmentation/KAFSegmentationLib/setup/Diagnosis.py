"""The report that the Diagnose button copies: everything a maintainer would ask for, nothing about a patient.

It is in English, whatever the language of Slicer: it is read by maintainers.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from KAFSegmentationLib.setup.Findings import Findings
from KAFSegmentationLib.setup.SetupPlan import hasLongPaths, hasNvidiaDriver


def report(slicerVersion: str, python: str, findings: Findings, requirements: Sequence, folder: Path,
           models: Sequence, hasExtension: bool) -> str:
    """The text; ``folder`` is where packages go, ``models`` are entries of ``kaf.modelfile.library``, ``hasExtension``
    says whether the PyTorch extension is there."""
    from kaf._version import __version__

    problem = findings.problem(requirements)
    lines = [
        f"KAF Segmentation {__version__}",
        f"Slicer: {slicerVersion}",
        f"System: {platform.platform()}, {platform.machine()}, {os.cpu_count()} logical CPUs",
        f"Slicer's Python: {platform.python_version()}",
        f"Python used: {_private(python)} ({findings.python or 'unknown'}, {findings.machine or 'unknown'})",
        f"State: {problem or 'ready'}",
        "Packages:",
        *(f"  {name} {_packageLine(name, findings)}" for name in packageNames(findings, requirements)),
        f"torch's device: {findings.device or 'unknown'}",
        f"NVIDIA: {nvidia()}",
        f"PyTorch extension: {'installed' if hasExtension else 'not installed'}",
        f"pip: {_version('pip')}",
        f"Packages go to: {_private(folder)} ({freeSpace(folder)})",
    ]
    if sys.platform == "win32":
        lines.append(f"Paths over 260 characters: {'allowed' if hasLongPaths() else 'not allowed'}")
    lines += ["Models:", *(f"  {entry.name} {entry.card.version}, {_private(entry.path)}, SHA-256 "
                           f"{fileDigest(entry.path)}" for entry in models)]
    if not models:
        lines.append("  none")
    if findings.detail.strip():
        lines += ["Last lines of the check:", *(f"  {line}" for line in findings.detail.splitlines()[-15:])]
    return "\n".join(lines) + "\n"


def packageNames(findings: Findings, requirements: Sequence) -> list[str]:
    names = ["torch", "numpy", "scipy", "SimpleITK", *(requirement.name for requirement in requirements)]
    return names + [name for name in findings.errors if name not in names]


def nvidia() -> str:
    """What nvidia-smi says in one line; asks for no more than ten seconds."""
    if not hasNvidiaDriver():
        return "no driver"
    program = shutil.which("nvidia-smi")
    if program is None:
        return "a driver, but no nvidia-smi"
    try:
        done = subprocess.run(
            [program, "--query-gpu=name,driver_version,memory.total,memory.free", "--format=csv,noheader"],
            capture_output=True, text=True, timeout=10, check=False,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0))
    except (OSError, subprocess.SubprocessError) as error:
        return f"nvidia-smi does not answer ({error})"
    return "; ".join(line.strip() for line in done.stdout.splitlines() if line.strip()) or "nvidia-smi lists no GPU"


def freeSpace(folder: Path) -> str:
    try:
        return f"{shutil.disk_usage(folder).free / 1e9:.1f} GB free"
    except OSError as error:
        return f"free space unknown: {error.strerror}"


def fileDigest(path: Path) -> str:
    from kaf.runtime.files import file_digest

    try:
        return file_digest(Path(path))
    except OSError as error:
        return f"unknown ({error.strerror})"


def _packageLine(name: str, findings: Findings) -> str:
    if name in findings.errors:
        return f"cannot be imported: {findings.errors[name]}"
    return findings.versions.get(name) or "not installed"


def _private(path: object) -> str:
    """The path without the user's name, because reports get posted."""
    home = os.path.expanduser("~")
    text = str(path)
    return f"~{text[len(home):]}" if len(home) > 1 and text.startswith(home) else text


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
