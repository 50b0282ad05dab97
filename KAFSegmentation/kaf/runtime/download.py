"""One file from the network, with its SHA-256, and with limits: of size, of time, of where the address leads.

The only place where KAF uses the network, and only when a person has named the address.
"""

from __future__ import annotations

import hashlib
import queue
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kaf.runtime.errors import ModelError, OutputError
from kaf.runtime.files import write_problem
from kaf.runtime.plain_text import one_line

_CHUNK = 1 << 16
_REDIRECTS = 5
_WAITING = 16  # chunks between the two threads
_BY_HAND = "Check the address and the network, or copy the file by hand and add that."


@dataclass(frozen=True)
class Limits:
    """``megabytes`` at most, in ``minutes`` at most; ``silence`` is how many seconds the server may say nothing."""

    megabytes: float = 4000.0
    minutes: float = 60.0
    silence: float = 30.0


def download(address: str, target: Path, digest: str, limits: Limits | None = None) -> None:
    """Write what is at an http(s) address to ``target``; ``digest`` is its SHA-256 in hexadecimal digits.

    From https it does not lead on to http.  Nothing is left at ``target`` when it fails.

    Raises:
        ModelError: it cannot be had, is too large, takes too long, or is another file.
        OutputError: the disk refuses.
    """
    limits = limits or Limits()
    source = _Source(address, limits)
    try:
        found = _write(source, address, target, limits)
        if found != digest:
            raise ModelError(address, f"the download does not have the stated SHA-256 {digest}: it has {found}",
                             "Do not use it; ask its publisher.")
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    finally:
        source.stop()


def _write(source: _Source, address: str, target: Path, limits: Limits) -> str:
    """The SHA-256 of what was written."""
    digest, size = hashlib.sha256(), 0
    try:
        with target.open("wb") as file:
            for chunk in source.chunks(time.monotonic() + 60 * limits.minutes):
                size += len(chunk)
                if size > limits.megabytes * 1e6:
                    raise _too_large(address, limits)
                digest.update(chunk)
                file.write(chunk)
    except OSError as error:
        raise OutputError(target, *write_problem(error)) from error
    return digest.hexdigest()


def _too_large(address: str, limits: Limits) -> ModelError:
    return ModelError(address, f"is larger than {limits.megabytes:g} MB, which is as much as is downloaded",
                      "If it is meant to be, allow more with --megabytes, or copy the file by hand and add that.")


class _Source(threading.Thread):
    """Reads from the network in a thread of its own, so that nothing there (a name that is looked up, a header or a
    body that drips) can hold up whoever waits; it ends with the process."""

    def __init__(self, address: str, limits: Limits):
        super().__init__(name="kaf-download", daemon=True)
        self._address, self._limits = address, limits
        self._items: queue.Queue[bytes | Exception | None] = queue.Queue(_WAITING)
        self._stopped = threading.Event()

    def chunks(self, end: float) -> Iterator[bytes]:
        """The content, until the clock shows ``end`` (seconds, monotonic)."""
        self.start()
        while (left := end - time.monotonic()) > 0:
            try:
                item = self._items.get(timeout=min(left, 0.5))  # no longer, so that a Ctrl-C is noticed on Windows, too
            except queue.Empty:
                continue
            if item is None:
                return
            if isinstance(item, Exception):
                raise self._words(item) from item
            yield item
        raise ModelError(self._address, f"was not there after {self._limits.minutes:g} minutes",
                         "Try again, allow more with --minutes, or copy the file by hand and add that.")

    def stop(self) -> None:
        """Nobody waits any more."""
        self._stopped.set()

    def run(self) -> None:
        try:
            for chunk in self._read():
                self._put(chunk)
            self._put(None)
        except Exception as error:
            self._put(error)

    def _put(self, item: bytes | Exception | None) -> None:
        while not self._stopped.is_set():
            try:
                self._items.put(item, timeout=0.5)
                return
            except queue.Full:
                continue

    def _read(self) -> Iterator[bytes]:
        import requests

        with requests.Session() as session:
            session.max_redirects = _REDIRECTS
            if self._address.lower().startswith("https:"):
                del session.adapters["http://"]  # nowhere on the way is it unprotected
            answer: Any
            with session.get(self._address, stream=True, timeout=(self._limits.silence, self._limits.silence),
                             headers={"Accept-Encoding": "identity"}) as answer:
                answer.raise_for_status()
                stated = answer.headers.get("Content-Length", "")
                if stated.isdigit() and int(stated) > self._limits.megabytes * 1e6:
                    raise _too_large(self._address, self._limits)
                for chunk in answer.iter_content(_CHUNK):
                    if self._stopped.is_set():
                        return
                    yield chunk

    def _words(self, error: Exception) -> Exception:
        """What went wrong, as a person can act on it."""
        from requests import exceptions

        if isinstance(error, ModelError):
            return error
        reason = one_line(error)[:300]
        if isinstance(error, exceptions.InvalidSchema):
            reason = "it leads on to an address without https"
        elif isinstance(error, exceptions.TooManyRedirects):
            reason = f"it leads on more than {_REDIRECTS} times"
        elif isinstance(error, exceptions.Timeout):
            reason = f"the server said nothing for {self._limits.silence:g} seconds"
        return ModelError(self._address, f"cannot be downloaded ({reason})", _BY_HAND)
