"""A Python in another process: what it is and what it can import, found out under a time limit."""

from __future__ import annotations

import contextlib
import queue
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from slicer.i18n import tr as _

from kaf.runtime import json_files
from kaf.runtime.environment import child_environment
from kaf.runtime.logs import last_line_of
from kaf.runtime.processes import end_tree, exit_name, own_group
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
                    env=child_environment(self._environment), **own_group(),
                )
            except (OSError, ValueError) as error:
                return _("it cannot be started ({reason})").format(reason=getattr(error, "strerror", None) or error)
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
                    return _("it did not finish within {seconds} s").format(seconds=f"{seconds:.0f}")
                continue
            if line is None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(5)
                return ""
            onLine(line.decode("utf-8", "replace").rstrip())

    def _ending(self, code: int) -> str:
        if code == 0:
            return ""
        reason = _("it ended unexpectedly ({reason})").format(reason=exit_name(code))
        last = last_line_of(self.errors)
        return f'{reason}: "{last}"' if last else reason


def _read(process: subprocess.Popen, lines: queue.Queue[bytes | None]) -> None:
    assert process.stdout is not None
    with process.stdout as pipe:
        for line in pipe:
            lines.put(line)
    lines.put(None)


def _kill(process: subprocess.Popen) -> None:
    """Ends the process, and the real Python behind a launcher."""
    end_tree(process.pid if process.poll() is None else None, process.pid)
    with contextlib.suppress(OSError):
        process.kill()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(5)
