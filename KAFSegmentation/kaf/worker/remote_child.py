"""A worker on another computer, at the other end of ``ssh``, as the client sees any worker.

Nothing listens on a port: ``ssh`` starts ``kaf worker --remote`` there and is its pipe.  It logs in as it does in a
terminal, with the keys, names and jumps of its own settings, and asks nothing.

Only the standard library and what reads a card: Slicer's own process uses this file.
"""

from __future__ import annotations

import json
import queue
import re
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kaf._version import __version__
from kaf.modelfile.card import read_card
from kaf.modelfile.library import SUFFIX, find_model
from kaf.quality.store import ENDING, beside, users_file
from kaf.runtime import json_files
from kaf.runtime.child import Child
from kaf.runtime.errors import InputError, KafError, ResourceError, SettingsError, WorkerError
from kaf.runtime.events import Error, Progress, to_json
from kaf.runtime.logs import last_line
from kaf.runtime.message_codes import READY
from kaf.worker.file_lines import checked_name, file_lines, is_part, keep_part, replaced

_SIGN_OF_LIFE = 30.0  # seconds; the worker ends after ten times as many without any
_HOST = re.compile(r"(ssh://)?[A-Za-z0-9_\[][A-Za-z0-9_.@:%\[\]-]{0,253}")
_OPTIONS = ("-T", "-o", "BatchMode=yes", "-o", "ConnectTimeout=20", "-o", "ServerAliveInterval=15",
            "-o", "ServerAliveCountMax=4")
_NO_CONNECTION, _NOT_FOUND = 255, (126, 127, 9009)  # exit codes of ssh, and of the shells at the other end
_EACH = 0.2  # seconds between two reports of progress
_BY_PATH = ("image", "cine")  # options that name a file


@dataclass(frozen=True)
class Remote:
    """Another computer: ``user@host`` as ssh takes it (or ``ssh://user@host:port``), and the command that starts kaf
    there."""

    host: str
    command: str = "kaf"
    program: str = "ssh"

    def check(self) -> None:
        """Raises SettingsError for what cannot be such a name or command."""
        if not _HOST.fullmatch(self.host):
            raise SettingsError(repr(self.host[:100]), "is not the name of a computer",
                                "Give it as ssh takes it: user@host.")
        if not self.command.strip() or not self.command.isprintable():
            raise SettingsError("command on the other computer", "is empty or has a line break",
                                "Give what starts KAF there, for example kaf or /opt/kaf/bin/kaf.")

    def command_line(self, *arguments: str) -> list[str]:
        """The whole command, for this computer."""
        return [self.program, *_OPTIONS, "--", self.host, " ".join([self.command, "worker", "--remote", *arguments])]


class RemoteChild(Child):
    """Sends the files that a request names before it, and keeps those that an answer names where the client expects
    them; the rest is as in :class:`Child`.

    Raises:
        SettingsError: the name of the computer or the command cannot be one.
        WorkerError: there is no ssh on this computer.
    """

    def __init__(self, remote: Remote, arguments: Iterable[str], environment: Mapping[str, str], log: Path):
        remote.check()
        self._remote = remote
        self._models: set[str] | None = None  # those over there, by their digests
        self._greeted = threading.Event()
        self._folders: dict[int, Path] = {}
        self._sent: dict[str, Path] = {}
        self._reported = 0.0
        try:
            super().__init__(remote.command_line(*arguments), environment, log)
        except WorkerError as error:
            raise WorkerError(remote.program, "the ssh program was not found on this computer",
                              "Install OpenSSH's client; Windows has it among its optional features.") from error

    @property
    def subject(self) -> str:
        return self._remote.host

    def send(self, line: str) -> None:
        values = json.loads(line)
        self._folders[values["id"]] = Path(values["folder"])
        super().send(line)

    def kill(self, patience: float = 0.0) -> None:
        super().kill(patience)
        self._greeted.set()

    def why_it_died(self, subject: str) -> WorkerError:
        code, host = self._popen.poll(), self._remote.host
        last = last_line(self.log, self._log_start)
        said = f'; the last line of the log is "{last}"' if last else ""
        if self.ready:
            return WorkerError(subject, f"the connection to {host} broke, or KAF ended there{said}",
                               f"Nothing was changed on this computer. Run it again when {host} can be reached; if it "
                               f"happens again, look for memory that ran out there. The log is {self.log}.")
        if code == _NO_CONNECTION:
            return WorkerError(host, f"could not be connected to{said}",
                               f"Run `ssh {host}` in a terminal: it has to log in without asking for anything "
                               "(Docs/remote.md says how).")
        if code in _NOT_FOUND:
            return WorkerError(host, f"has no command '{self._remote.command}'{said}",
                               f"Install KAF {__version__} there, or give the command with its whole path.")
        return WorkerError(host, f"was reached, but KAF did not start there{said}",
                           f"Install KAF {__version__} there, or give the command that starts it. The log is "
                           f"{self.log}.")

    def _next(self) -> bytes | None:
        try:
            return self._outbox.get(timeout=_SIGN_OF_LIFE)
        except queue.Empty:
            return b"\n"

    def _parts(self, line: bytes) -> Iterable[bytes]:
        if not line.strip():
            yield line
            return
        self._greeted.wait()
        values = json.loads(line)
        try:
            if self._models is not None:
                yield from self._request(values)
        except KafError as error:
            self._fail(values["id"], error)
        except OSError as error:
            self._fail(values["id"], ResourceError(
                error.filename or "temporary folder", f"cannot be read ({error.strerror or error})", "Run it again."))

    def _request(self, values: dict[str, Any]) -> Iterator[bytes]:
        """The files that are not over there yet, then the request."""
        number, files = values["id"], []
        self._sent = {name: path for name, path in self._sent.items() if path.is_file()}
        for item in values.get("arrays", {}).values():
            path = Path(item["path"])
            item["path"] = {"file": path.name}
            if path.name not in self._sent:
                files.append((path, path.name))
        for name in _BY_PATH:
            if values.get("options", {}).get(name):
                raise InputError(values["options"][name], "is a file of this computer, and the model runs on another",
                                 "Open the scan and hand over its voxels, or choose a device of this computer.")
        if isinstance(values.get("settings", {}).get("model"), str) and values["settings"]["model"]:
            values["settings"]["model"], more = self._model(values["settings"]["model"])
            files += more
        yield from self._files(number, files)
        yield json.dumps({**values, "files": sorted(self._sent)}).encode("ascii") + b"\n"

    def _files(self, number: int, files: list[tuple[Path, str]]) -> Iterator[bytes]:
        total, before = sum(path.stat().st_size for path, _ in files), 0
        for path, name in files:
            done = 0
            for line in file_lines(number, path, name):
                yield line
                done = min(done + len(line), path.stat().st_size)
                self._report(number, "sending", before + done, total)
            before += path.stat().st_size
            self._sent[name] = path

    def _model(self, name: str) -> tuple[dict[str, str], list[tuple[Path, str]]]:
        """What stands for a model in the request, and the files of one that is not over there."""
        path = find_model(name)
        card = read_card(path)
        what = {"model": card.key, "name": name, "sent": ""}
        if card.key in (self._models or set()):
            return what, []
        what["sent"] = f"model-{card.digest[:16]}-{card.card_digest[:16]}{SUFFIX}"
        if self._sent.get(what["sent"]):
            return what, []
        calibration = next((file for file in (users_file(card), beside(path)) if file.is_file()), None)
        beside_it = what["sent"].removesuffix(SUFFIX) + ENDING
        return what, [(path, what["sent"]), *([(calibration, beside_it)] if calibration else [])]

    def _taken(self, line: bytes) -> Iterable[bytes]:
        try:
            values = json_files.parse(line)
            if values["id"] == 0:
                self._greet(values)
            elif is_part(values):
                self._keep(values)
                return ()
            elif values["event"] in ("result", "picture", "error"):
                return (self._here(values),)
        except (AttributeError, KeyError, TypeError, ValueError):
            pass  # what a login shell says, which the client leaves out
        except OSError as error:
            self._fail(values["id"], ResourceError(
                "temporary folder", f"cannot take the result ({error.strerror or error})",
                "Free space there, or point TMPDIR (TEMP on Windows) at a larger disk and restart."))
            return ()
        return (line,)

    def _greet(self, values: dict[str, Any]) -> None:
        if values.get("code") == READY:
            data = values["data"]
            if data["versions"]["kaf"] == __version__:  # of another one the client says so, and nothing is sent
                self._models = set(data.get("models", ()))
            self._greeted.set()

    def _keep(self, values: dict[str, Any]) -> None:
        folder = self._folders[values["id"]]
        if folder.is_dir():  # not of a request that was cancelled
            keep_part(values, folder)
            self._report(values["id"], "receiving", values["offset"], values["size"])

    def _here(self, values: dict[str, Any]) -> bytes:
        """The answer with paths of this computer, and with the other one's name where that is of use."""
        folder = self._folders[values["id"]]

        def here(item: Any) -> Any:
            return str(folder / checked_name(item["file"])) if isinstance(item, dict) and set(item) == {"file"} \
                else item

        values = replaced(values, here)
        if isinstance(values.get("values"), dict) and isinstance(values["values"].get("place"), str):
            values["values"]["place"] = f"{values['values']['place']} ({self._remote.host})"
        if values.get("kind") in ("ResourceError", "WorkerError"):
            values["subject"] = f"{self._remote.host}: {values['subject']}"
        return json.dumps(values).encode("ascii")

    def _report(self, number: int, stage: str, done: int, total: int) -> None:
        """Progress of the files, as the worker would report it; also what tells that the connection is at work."""
        self.last_output = now = time.monotonic()
        if now - self._reported >= _EACH:
            self._reported = now
            self._put(number, to_json(Progress(stage, done, total)))

    def _fail(self, number: int, error: KafError) -> None:
        self._put(number, to_json(Error.of(error)))

    def _put(self, number: int, event: str) -> None:
        self.lines.put(json.dumps({"id": number, **json.loads(event)}).encode("ascii"))
