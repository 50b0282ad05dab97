"""A Python in another process: what it is and what it can import, found out under a time limit."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from kaf.runtime import json_files
from kaf.runtime.environment import child_environment
from KAFSegmentationLib.setup.Findings import FROM_SLICER, Findings
from KAFSegmentationLib.setup.Packages import IMPORT_NAMES

PROBE = Path(__file__).with_name("InterpreterProbe.py")


class Interpreter:
    """Runs a Python with a time limit, while the application goes on drawing itself.

    ``environment`` are changes to this process's environment, as in ``kaf.worker.client.Client``: a value to set, None
    to remove. ``pump`` is called about twenty times a second (``slicer.app.processEvents``).
    """

    def __init__(self, path: str, environment: Mapping[str, str | None] | None = None,
                 pump: Callable[[], None] | None = None):
        self.path = path
        self.errors = ""
        """What the last run wrote to stderr, its last 20,000 characters."""
        self._environment = dict(environment or {})
        self._pump = pump or (lambda: None)

    def run(self, arguments: Sequence[str], seconds: float, onLine: Callable[[str], None] = print) -> str:
        """Runs to the end; ``onLine`` gets each line of stdout. Returns why it failed, empty if it did not."""
        with tempfile.TemporaryFile() as errors:
            try:
                process = subprocess.Popen(
                    [self.path, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors,
                    env=child_environment(self._environment), **_apart(),
                )
            except (OSError, ValueError) as error:
                return f"cannot be started ({getattr(error, 'strerror', None) or error})"
            try:
                failure = self._follow(process, seconds, onLine)
            finally:
                _kill(process)
                errors.seek(0)
                self.errors = errors.read().decode("utf-8", "replace")[-20000:]
        return failure or self._ending(process.returncode)

    def probe(self, requirements: Sequence, seconds: float = 180.0) -> Findings:
        """What is there and what can be imported; never raises."""
        findings = Findings()
        names = ["torch", *FROM_SLICER, *(requirement.name for requirement in requirements)]
        imports = [f"{name}={IMPORT_NAMES[name]}" if name in IMPORT_NAMES else name for name in names]

        def take(line: str) -> None:
            with contextlib.suppress(ValueError):  # a launcher that chats
                findings.take(json_files.parse(line))

        failure = self.run([str(PROBE), *imports, "kaf.verbs.segment"], seconds, take)
        findings.end(failure, self.errors)
        return findings

    def _follow(self, process: subprocess.Popen, seconds: float, onLine: Callable[[str], None]) -> str:
        lines: queue.Queue[bytes | None] = queue.Queue()
        threading.Thread(target=_read, args=(process, lines), name="kaf-set-up-reader", daemon=True).start()
        stop = time.monotonic() + seconds
        while True:
            try:
                line = lines.get(timeout=0.05)
            except queue.Empty:
                self._pump()
                if time.monotonic() > stop:
                    return f"did not finish within {seconds:.0f} s"
                continue
            if line is None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(5)
                return ""
            onLine(line.decode("utf-8", "replace").rstrip())

    def _ending(self, code: int) -> str:
        if code == 0:
            return ""
        words = [line.strip() for line in self.errors.splitlines() if line.strip()]
        said = f': "{words[-1][:300]}"' if words else ""
        return f"{_death(code)}{said}"


def _read(process: subprocess.Popen, lines: queue.Queue[bytes | None]) -> None:
    assert process.stdout is not None
    with process.stdout as pipe:
        for line in pipe:
            lines.put(line)
    lines.put(None)


def _apart() -> dict:
    """A process group of its own, which is what is ended, and no console window."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}
    return {"start_new_session": True}


def _kill(process: subprocess.Popen) -> None:
    """Ends the process, and the real Python behind a launcher."""
    if sys.platform == "win32":
        if process.poll() is None:
            subprocess.run(["taskkill", "/F", "/T", "/PID", str(process.pid)], check=False,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                           creationflags=subprocess.CREATE_NO_WINDOW)
    else:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(OSError):
        process.kill()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(5)


def _death(code: int) -> str:
    """``crashed (SIGSEGV)`` or ``ended with exit code 3``; a launcher passes a signal on as 128 + signal."""
    if code in (0xC0000005, 0xC0000005 - 2**32, 0xC0000409, 0xC0000409 - 2**32):
        return f"crashed (0x{code & 0xFFFFFFFF:08X})"
    try:
        return f"crashed ({signal.Signals(-code if code < 0 else code - 128).name})"
    except ValueError:
        return f"ended with exit code {code}"
