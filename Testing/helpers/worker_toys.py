"""Toy verbs for the worker, clients that know them, and ways to see whether a process lives.

The tests of the worker share this; the worker itself imports it as ``--verbs worker_toys:TABLE``.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np

from kaf.runtime import errors
from kaf.runtime.events import Message, Metric, Progress, Result
from kaf.worker.client import Client

HERE = Path(__file__).resolve().parent
HOME = HERE.parents[1] / "KAFSegmentation"
KILL = getattr(signal, "SIGKILL", signal.SIGTERM)
NAMES = ("echo", "steps", "fail", "nap", "chatter", "count", "die", "look", "missing", "leave", "late", "threads")
TABLE = {name: f"worker_toys:{name}" for name in NAMES}


def echo(request, on_event):
    for volume in request.volumes.values():
        assert not volume.voxels.flags.writeable
        assert volume.voxels.flags.c_contiguous
    return {"arrays": dict(request.volumes), "settings": request.settings, "options": request.options,
            "sources": {name: volume.source for name, volume in request.volumes.items()}}


def steps(request, on_event):
    for done in range(4):
        on_event(Progress("slices", done, 4))
    on_event(Metric(7, {"loss": np.float32(0.5)}))
    on_event(Result({"too": "early"}))
    on_event(Message("Schädel 头 \udcff"))
    return {"dice": np.float64(0.25), "arrays": {"points": np.zeros((0, 2), np.float32)}}


def fail(request, on_event):
    request.cache["large"] = 1
    kind, words = request.settings["kind"], request.settings["words"]
    if hasattr(errors, kind):
        raise getattr(errors, kind)("scan.nii", words, "Do this.")
    raise {"MemoryError": MemoryError, "SystemExit": SystemExit, "RuntimeError": RuntimeError}[kind](words)


def nap(request, on_event):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    on_event(Message(f"{os.getpid()} {child.pid}"))
    time.sleep(600)


def chatter(request, on_event):
    sys.__stdout__.write("printed to the old stdout\n")
    sys.__stdout__.flush()
    print("printed")
    os.write(1, b"written at C level\n")
    subprocess.run([sys.executable, "-c", "print('a child prints'); import sys; assert not sys.stdin.read()"],
                   check=True)
    return {"heard": sys.stdin.read()}


def count(request, on_event):
    request.cache["n"] = request.cache.get("n", 0) + 1
    return {"n": request.cache["n"], "large": request.cache.get("large"), "pid": os.getpid()}


def threads(request, on_event):
    import torch

    return {"torch": torch.get_num_threads()}


def die(request, on_event):
    on_event(Message("last log lines"))
    how = request.settings["how"]
    if how == "abort":
        os.abort()
    if how == "slowly":  # its end of the pipe goes first, as when an interpreter shuts down
        os.closerange(3, 64)
        time.sleep(0.1)
    if how == "leaving a child" and os.fork() == 0:  # which holds the pipe open
        time.sleep(600)
    os._exit(3)


def look(request, on_event):
    import random

    return {"threads": os.environ.get("OMP_NUM_THREADS"), "gone": os.environ.get("KAF_TOY"),
            "torch": "torch" in sys.modules, "random": random.__file__, "prefix": sys.executable}


def missing(request, on_event):
    import a_package_nobody_has  # noqa: F401


def leave(request, on_event):
    (request.folder / "picture.png").write_bytes(b"png")
    return {"picture": request.folder / "picture.png"}


def late(request, on_event):
    """The second call makes a thread of the first one write."""
    if "thread" in request.cache:
        go, thread = request.cache["thread"]
        go.set()
        thread.join()
        return
    go = threading.Event()
    thread = threading.Thread(target=lambda: (go.wait(), on_event(Message("late"))), daemon=True)
    thread.start()
    request.cache["thread"] = go, thread


def environment():
    """That of a process which is to find the toys and ``kaf``."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(HOME), str(HERE)])}


def clients(folder):
    """Yields a function that makes clients with the toy verbs, then closes them all."""
    made = []

    def make(**more):
        env = {"PYTHONPATH": str(HERE), **more.pop("env", {})}
        log = more.pop("log", folder / f"worker-{len(made)}.log")
        made.append(Client(log=log, verbs="worker_toys:TABLE", env=env, **more))
        return made[-1]

    yield make
    for one in made:
        one.close()


def alive(pid):
    """Whether a process runs; one that only waits to be reaped does not."""
    if sys.platform == "win32":
        listed = subprocess.run(["tasklist", "/NH", "/FI", f"PID eq {pid}"], capture_output=True, check=True)
        return str(pid).encode() in listed.stdout
    stat = Path(f"/proc/{pid}/stat")
    if stat.parent.parent.joinpath("self").exists():
        try:
            return stat.read_text().rpartition(")")[2].split()[0] != "Z"
        except OSError:
            return False
    listed = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, check=False)
    state = listed.stdout.strip()
    return bool(state) and not state.startswith(b"Z")


def gone(pid, seconds=20):
    """Waits until a process is gone; False if it stays."""
    end = time.monotonic() + seconds
    while alive(pid):
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def asleep(client, **more):
    """A job that sleeps, and the ids of the process that does and of its child."""
    reported = []
    job = client.submit("nap", on_event=reported.append, **more)
    while not reported:
        assert not job.poll(0.1), job.result()
    return job, [int(word) for word in reported[0].text.split()]
