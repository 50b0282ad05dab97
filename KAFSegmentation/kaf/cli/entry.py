"""The command line: ``kaf <command>``, every setting a flag or a key of a JSON file.

Exit codes: 0 done, 1 failed, 2 wrong usage.  Results go to stdout, progress and messages to stderr; with
``--events`` all of it is JSON lines on stdout.  Heavy libraries are imported when a run starts, not for help.
"""

from __future__ import annotations

# Little is imported here: a Ctrl-C before `entry` watches for it would end in Python's traceback.
import contextlib
import importlib
import os
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from kaf._version import __version__

if TYPE_CHECKING:
    from kaf.runtime.errors import KafError

_LONG_LOG = 1 << 20  # bytes of errors.log, which then begins anew

# command -> one line of help. Its code is main() of the file of that name beside this one.
COMMANDS = {
    "segment": "segment a scan, or a folder of scans",
    "explain": "show which parts of a scan the network attended to",
    "adapt": "fine-tune a model on a few finished slices of a scan, and segment the rest",
    "propagate": "label the other slices of a scan from a few finished ones, at once",
    "function": "measure cardiac function from a short-axis cine: volumes, EF, mass, wall thickness",
    "pretrain": "pretrain a network on unlabelled scans",
    "finetune": "train a model on labelled scans",
    "compare": "compare training methods in a few-shot experiment",
    "submit": "submit a training to a SLURM cluster",
    "select": "choose which scans to label first",
    "report": "show the page of a training run: curves, validation cases, settings",
    "jobs": "list the runs in a folder and their progress",
    "evaluate": "compare segmentations with reference segmentations",
    "demo": "segment a synthetic heart, or a scan of your own, and draw the result",
    "models": "list, show, add, export and remove models",
    "data": "check a folder of scans (data scan), or create an example (data example)",
    "devices": "list the devices of this computer, and the one that is used by default",
    "worker": "run the resident process that other programs talk to",
}


def main(arguments: Sequence[str] | None = None, details: Path | None = None) -> int:
    """Run a command; returns the exit code.

    ``details``: the file that takes the traceback of an error that nothing here expects; errors.log among the user's
    logs unless given.
    """
    from kaf.cli.console import let_all_characters_pass

    let_all_characters_pass()
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or given[0] in ("-h", "--help"):
        print(_help())
        return 0 if given else 2
    if given[0] in ("-V", "--version"):
        print(f"kaf {__version__}")
        return 0
    command = COMMANDS.get(given[0])
    if command is None:
        import difflib

        from kaf.runtime.plain_text import plain_lines

        near = difflib.get_close_matches(given[0], COMMANDS, n=1)
        hint = f"did you mean 'kaf {near[0]}'?" if near else f"commands: {', '.join(COMMANDS)}"
        print(plain_lines(f"kaf: there is no command '{given[0]}'; {hint}"), file=sys.stderr)
        return 2
    return _run(given[0], given[1:], details)


def _run(command: str, arguments: list[str], details: Path | None) -> int:
    from kaf.cli.console import Console
    from kaf.runtime.errors import Cancelled, KafError, OutputError, lost_device

    console = Console("--events" in arguments)
    arguments = [argument for argument in arguments if argument != "--events"]
    try:
        code = importlib.import_module(f"kaf.cli.{command}").main(arguments, console)
        sys.stdout.flush()
        return code or 0
    except KeyboardInterrupt:
        if _speaks():
            console.fail(Cancelled())
        return 1
    except KafError as error:
        if _speaks():
            console.fail(error)
        return error.exit_code
    except BrokenPipeError:  # the reader of our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:  # from a place that does not explain it itself
        failure = lost_device(error) or OutputError(
            error.filename or "a file", f"cannot be accessed ({error.strerror or error})",
            "Check the path, its permissions, and that its disk has space.")
        console.fail(failure)
        return failure.exit_code
    except ModuleNotFoundError as error:
        console.fail(KafError(f"Python package '{error.name}'", "is not installed",
                              "Install KAF with its dependencies: `make setup`, or `pip install .`."))
        return 1
    except Exception as error:  # a library's error for memory that ran out, or for a GPU that is gone
        lost = lost_device(error)
        if lost is not None:
            console.fail(lost)
            return lost.exit_code
        if _speaks():
            detail = traceback.format_exc()
            console.fail(_unexpected(command, error, _write_down(detail, details)), detail)
        return 1
    finally:
        console.close()


def _unexpected(command: str, error: Exception, details: Path | None) -> KafError:
    """An error of ours: one paragraph, and where its traceback is."""
    from kaf.runtime.errors import KafError

    said = " ".join(f"{type(error).__name__}: {error}".split())[:300]
    return KafError(f"kaf {command}", f"met an unexpected error ({said})",
                    f"Please report it with the details in {details}." if details else "Please report it.")


def _write_down(detail: str, details: Path | None) -> Path | None:
    """Where the traceback of an error is: in the given file, in errors.log, or in a file of its own."""
    import tempfile

    from kaf.runtime.logs import default_log

    words = f"--- {time.strftime('%Y-%m-%d %H:%M:%S')} KAF {__version__} {sys.argv}\n{detail}\n"
    place = details or default_log().with_name("errors.log")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        full = details is None and place.is_file() and place.stat().st_size > _LONG_LOG
        with place.open("w" if full else "a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(words)
        return place
    except OSError:
        with contextlib.suppress(OSError):
            handle, name = tempfile.mkstemp(prefix="kaf-error-", suffix=".txt")
            with open(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
                file.write(words)
            return Path(name)
    return None


def _speaks() -> bool:
    """Whether this process reports the error: of several (torchrun) the first one that failed does."""
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        return True
    from kaf.runtime import ranks

    return ranks.reports()


def _help() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:{width}}  {words}" for name, words in COMMANDS.items()]
    return "\n".join([
        f"kaf {__version__}: keypoint-augmented segmentation of medical scans", "",
        "usage: kaf COMMAND [options]", "       kaf COMMAND --help lists the options of a command", "", *lines, "",
        "  --events   (any command) write progress, messages and results to stdout as JSON lines"])


class Stop:
    """Turns Ctrl-C, and a polite kill, into KeyboardInterrupt: temporary files go, a checkpoint is kept.

    Who is impatient presses it again; for two seconds that does not disturb the tidying up.
    """

    def __init__(self) -> None:
        self._last = -float("inf")

    def __call__(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if now - self._last > 2:
            self._last = now
            raise KeyboardInterrupt


def entry() -> None:
    """The ``kaf`` script."""
    stop = Stop()
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup and a script's & have it
            signal.signal(number, stop)
    try:
        code = main()
    except KeyboardInterrupt:  # before the command began, or when it was over
        if _speaks():
            print("kaf: stopped on request.", file=sys.stderr)
        code = 1
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):  # nobody reads it any more
            stream.flush()
    # Not sys.exit: CPython ends as killed by SIGINT, even after a handled Ctrl-C, where that came while text
    # was executed (as dataclasses do), and tearing torch down takes half a second.
    os._exit(code)


if __name__ == "__main__":
    entry()
