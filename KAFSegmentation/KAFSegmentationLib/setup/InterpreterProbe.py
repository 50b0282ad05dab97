"""Runs inside the Python that is to be checked, as a plain script: says what it is and what it can import.

Standard library only, and an old one will do: the answer may be that this Python is too old. Each finding is one
line of JSON; ``importing`` comes before the attempt, so that after a crash the last line names the culprit.

    python InterpreterProbe.py kaf.verbs.segment torch opencv-python-headless=cv2 ...
"""

import json
import os
import platform
import sys

HERE = os.path.dirname(os.path.abspath(__file__))


def say(**values: object) -> None:
    print(json.dumps(values), flush=True)


def tryImport(name: str, module: str) -> None:
    say(importing=name)
    try:
        found = __import__(module, fromlist=["__version__"])
        if getattr(found, "__file__", None) is None:  # a namespace package: only its folder is left
            say(name=name, error="only an empty folder of it is left")
            return
        say(name=name, version=versionOf(name, found))
    except BaseException as error:
        text = f"{type(error).__name__}: {str(error).strip() or 'no reason given'}"
        say(name=name, error=text.splitlines()[0][:300])


def versionOf(name: str, module: object) -> str:
    try:
        from importlib.metadata import version

        return version(name)
    except Exception:  # another build of the same package, or metadata that is damaged
        return str(getattr(module, "__version__", ""))


def deviceOfTorch() -> str:
    torch = sys.modules.get("torch")
    if torch is None or not hasattr(torch, "cuda"):
        return ""
    if torch.cuda.is_available():
        return f"cuda ({torch.cuda.get_device_name(0)})"
    mps = getattr(torch.backends, "mps", None)
    return "mps" if mps is not None and mps.is_available() else "cpu"


def main(wanted: list) -> None:
    sys.path[:] = [path for path in sys.path if os.path.abspath(path or ".") != HERE]
    say(python=platform.python_version(), executable=sys.executable, machine=platform.machine())
    for item in wanted:
        name, _, module = item.partition("=")
        tryImport(name, module or name)
    try:
        say(device=deviceOfTorch())
    except Exception as error:
        say(device="", problem=str(error))
    say(done=True)


if __name__ == "__main__":
    main(sys.argv[1:])
