"""The worker and its client: voxels to the last bit, events in order, every error as a message."""

import errno
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from worker_toys import asleep, clients, environment

from kaf.runtime.errors import (
    Cancelled,
    InputError,
    KafError,
    OutputError,
    ResourceError,
    SettingsError,
    WorkerError,
)
from kaf.runtime.events import Message, Metric, Progress, from_json
from kaf.runtime.message_codes import READY
from kaf.worker.client import Client
from kaf.worker.process import as_kaf_error


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("Ordner für 頭")


@pytest.fixture(scope="module")
def make(folder):
    """Makes clients that know the toy verbs; closes them in the end."""
    yield from clients(folder)


@pytest.fixture(scope="module")
def client(make):
    """One worker for the tests that do it no harm."""
    return make()


@pytest.mark.parametrize("array", [
    np.arange(24, dtype=np.int16).reshape(2, 3, 4),
    np.arange(24, dtype=">i2").reshape(2, 3, 4),
    np.asfortranarray(np.random.default_rng(0).normal(size=(3, 4, 5)).astype(np.float32)),
    np.array([[[np.nan, np.inf, -0.0, 5e-324]]]),
    np.random.default_rng(1).integers(0, 255, (4, 9, 9), np.uint8)[::-2, ::2, 1::3],
    np.ones((1, 2, 2), bool),
], ids=["int16", "big-endian", "Fortran", "float64", "strided", "bool"])
def test_voxels_and_affine_come_back_to_the_last_bit(client, array):
    affine = np.random.default_rng(2).normal(size=(4, 4))
    result = client.request("echo", {"a": 1}, {"image": (array, affine)}, options={"b": [2.5]})
    voxels, placed = result["arrays"]["image"]
    assert voxels.dtype == array.dtype.newbyteorder("=")
    assert voxels.tobytes() == array.astype(voxels.dtype).tobytes()
    assert placed.tobytes() == affine.tobytes()
    assert (result["settings"], result["options"]) == ({"a": 1}, {"b": [2.5]})
    voxels[0] = 1  # the caller owns it


def test_events_arrive_in_order_and_the_returned_result_is_the_only_one(client):
    reported = []
    result = client.request("steps", on_event=reported.append)
    assert reported == [*(Progress("slices", done, 4) for done in range(4)), Metric(7, {"loss": 0.5}),
                        Message("Schädel 头 \udcff")]
    points, affine = result["arrays"]["points"]
    assert (points.shape, points.dtype, affine) == ((0, 2), np.float32, None)
    assert result["dice"] == 0.25


def test_what_an_earlier_request_says_too_late_is_not_heard(client):
    reported = []
    for _ in range(2):
        assert client.request("late", on_event=reported.append) == {}
    assert reported == []


@pytest.mark.parametrize("kind", [InputError, OutputError, ResourceError, SettingsError, Cancelled, KafError])
def test_an_error_of_ours_arrives_as_it_was_raised(client, kind):
    job = client.submit("fail", {"kind": kind.__name__, "words": "hat Löcher"})
    with pytest.raises(kind) as caught:
        job.result()
    assert type(caught.value) is kind
    assert caught.value.args == kind("scan.nii", "hat Löcher", "Do this.").args
    assert "Traceback" in job.detail
    assert "Traceback" not in str(caught.value)


def test_what_the_worker_survives_leaves_it_running(client):
    pid = client.request("count")["pid"]
    for kind, words, expected in [("MemoryError", "", ResourceError), ("SystemExit", "3", KafError),
                                  ("RuntimeError", "odd\nsecond line", KafError)]:
        job = client.submit("fail", {"kind": kind, "words": words})
        with pytest.raises(expected) as caught:
            job.result()
        assert type(caught.value) is expected
        assert "Traceback" in job.detail
    assert str(caught.value).startswith("fail: the worker met an error it did not expect (RuntimeError: odd)")
    with pytest.raises(InputError, match=r"^nosuch: is not a verb .* echo"):
        client.request("nosuch")
    with pytest.raises(ResourceError, match="a_package_nobody_has is not installed") as caught:
        client.request("missing")
    assert caught.value.subject == client.request("look")["prefix"]
    assert client.request("count")["pid"] == pid


def test_requests_share_the_cache_until_memory_runs_out(client):
    first = client.request("count")["n"]
    assert client.request("count")["n"] == first + 1
    with pytest.raises(ResourceError, match="ran out of memory"):
        client.request("fail", {"kind": "MemoryError", "words": ""})
    again = client.request("count")
    assert (again["n"], again["large"]) == (1, None)


FULL, GPU_FULL = "segment: this computer ran out of memory (", "segment: the GPU ran out of memory ("


class OutOfMemoryError(RuntimeError):
    """Named as torch names it."""


@pytest.mark.parametrize(("error", "kind", "words"), [
    (OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), ResourceError, GPU_FULL),
    (RuntimeError("MPS backend out of memory"), ResourceError, GPU_FULL),
    (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), ResourceError, GPU_FULL),
    (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"),
     ResourceError, FULL),
    (RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes."), ResourceError, FULL),
    (RuntimeError("bad allocation"), ResourceError, FULL),
    (RuntimeError("Invalid buffer size: 19.38 GiB"), ResourceError, GPU_FULL),
    (RuntimeError("hippocampus: out of memory"), ResourceError, FULL),
    (MemoryError(), ResourceError, FULL),
    (OSError(errno.ENOMEM, "Cannot allocate memory"), ResourceError, FULL),
    (OSError(errno.ENOSPC, "No space left", "/data/x.nrrd"), ResourceError, "/data/x.nrrd: the disk is full"),
    (ModuleNotFoundError("No module named 'torch'", name="torch"), ResourceError, "torch is not installed"),
    (ModuleNotFoundError("No module named 'cv2'", name="cv2"), ResourceError, "pip install --upgrade opencv"),
    (ImportError("DLL load failed", name="torch._C"), ResourceError, "but cannot be loaded (ImportError:"),
    (ModuleNotFoundError("No module named 'kaf.x'", name="kaf.x"), KafError, "did not expect (Module"),
    (RuntimeError("CUDA error: illegal memory access"), WorkerError, "the GPU stopped working (RuntimeError"),
    (ValueError("a text that says out of memory"), KafError, "did not expect (ValueError: a text"),
    (FileNotFoundError(errno.ENOENT, "No such file", "x"), KafError, "did not expect (FileNotFoundError"),
], ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "")
def test_any_exception_becomes_words_and_a_remedy(error, kind, words):
    answers = as_kaf_error(error, "segment")
    assert type(answers) is kind
    assert words in str(answers)
    assert answers.remedy.endswith((".", "torch", "headless"))


def test_nothing_that_is_printed_disturbs_the_protocol(make, folder):
    client = make(log=folder / "chatter.log")
    assert client.request("chatter") == {"heard": ""}
    log = (folder / "chatter.log").read_text(encoding="utf-8")
    for words in ("printed\n", "printed to the old stdout", "written at C level", "a child prints"):
        assert words in log


def test_a_volume_with_the_same_token_is_written_once(client):
    first, second = np.zeros((1, 2, 2)), np.ones((1, 2, 2))
    send = [("node", first), ("node", second), ("node, modified", second)]
    results = [client.request("echo", volumes={"image": (array, np.eye(4))}, keys={"image": key})
               for key, array in send]
    sources = [result["sources"]["image"] for result in results]
    assert sources[0] == sources[1] != sources[2]
    assert [result["arrays"]["image"][0].max() for result in results] == [0, 0, 1]
    assert not Path(sources[0]).exists() or sys.platform == "win32"


def test_requests_on_the_wire():
    """What stands in the worker's docstring, by hand: a line of nonsense is answered and forgotten."""
    command = [sys.executable, "-m", "kaf.worker", "--verbs", "worker_toys:TABLE"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          env=environment()) as worker:
        def ask(line):
            worker.stdin.write(line + b"\n")
            worker.stdin.flush()
            return json.loads(worker.stdout.readline())

        ready = json.loads(worker.stdout.readline())
        assert (ready["id"], ready["event"], ready["text"]) == (0, "message", "ready")
        assert ready["code"] == READY
        assert ready["data"]["pid"] == worker.pid or sys.platform == "win32"
        assert set(ready["data"]["versions"]) == {"kaf", "python", "torch", "numpy", "SimpleITK"}
        for nonsense in (b"", b"bla", b"[1]", b'{"id": "1", "verb": "ping"}', b'{"id": 1}', b"\xff", b"7"):
            answer = ask(nonsense)
            assert (answer["id"], answer["event"], answer["kind"]) == (0, "error", "InputError")
        raw = ask(b'{"id": 5, "verb": "ping"}')
        assert (raw.pop("id"), raw["event"]) == (5, "result")
        assert from_json(json.dumps(raw)).values["pid"] == ready["data"]["pid"]
        assert ask(b'{"id": 6, "verb": "echo", "arrays": 3}')["event"] == "error"
        assert ask(b'{"id": 8, "verb": "chatter"}')["values"] == {"heard": ""}
        worker.stdin.write(b'{"id": 7, "verb": "steps"}\n')
        worker.stdin.flush()
        for _ in range(7):
            assert worker.stdout.readline().isascii()
        worker.stdin.close()
        assert worker.wait(20) == 0


def test_the_worker_is_ready_before_torch_is_imported(tmp_path):
    gate, reached = tmp_path / "gate", tmp_path / "reached"
    (tmp_path / "torch.py").write_text(
        f"import pathlib, time\npathlib.Path({str(reached)!r}).touch()\n"
        f"while not pathlib.Path({str(gate)!r}).exists(): time.sleep(0.01)\n", encoding="utf-8")
    with Client(log=tmp_path / "w.log", env={"PYTHONPATH": str(tmp_path)}) as client:
        job = client.submit("ping")
        while not reached.exists():  # ready is said before this
            assert not job.poll(0.05)
        for _ in range(3):
            assert not job.poll(0.05)
        assert job._child.ready
        gate.touch()
        assert job.result()["pid"] == job._child.pid


def test_another_version_in_the_worker_is_refused(make, monkeypatch):
    monkeypatch.setattr("kaf.worker.client_job.__version__", "99.0")
    with pytest.raises(WorkerError, match=r"finds is version .*, this one is 99\.0"):
        make().request("count")


def test_threads_environment_and_the_current_folder(make, tmp_path, monkeypatch):
    monkeypatch.setenv("KAF_TOY", "set")
    monkeypatch.chdir(tmp_path)
    Path("random.py").write_text("raise SystemExit('picked up from the current folder')\n")
    client = make(threads=3, env={"KAF_TOY": None})
    if sys.version_info < (3, 11):
        Path("random.py").unlink()  # PYTHONSAFEPATH came with 3.11
    seen = client.request("look")
    assert (seen["threads"], seen["gone"], seen["torch"]) == ("3", None, False)
    assert Path(seen["random"]).parent != tmp_path


def test_one_request_at_a_time(make):
    client = make()
    job, _ = asleep(client)
    with pytest.raises(WorkerError, match="count: the worker is busy with 'nap'"):
        client.submit("count")
    assert not job.poll()
    client.close()
    with pytest.raises(Cancelled):
        job.result()


def test_what_cannot_be_sent_is_refused_without_a_trace(make, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    client = make()
    pid = client.request("count")["pid"]
    voxels = np.zeros((1, 2, 2))
    with pytest.raises(SettingsError, match="object cannot be written as JSON"):
        client.request("echo", {"a": object()}, {"image": (voxels, np.eye(4))})
    with pytest.raises(InputError, match=r"image: has an affine that is not 4x4 .*\(shape \(3, 4\)\)"):
        client.request("echo", volumes={"image": (voxels, np.eye(4)[:3])})
    with pytest.raises(InputError, match="not 4x4 finite"):
        client.request("echo", volumes={"image": (voxels, np.eye(4) * np.nan)})
    with pytest.raises(InputError, match="image: is an array of object"):
        client.request("echo", volumes={"image": (voxels.astype(object), np.eye(4))})

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(np, "save", full)
        with pytest.raises(ResourceError, match=r"cannot take 'image', .* are free; .*No space left"):
            client.request("echo", volumes={"image": (voxels, np.eye(4))})
    assert not list(tmp_path.rglob("*.npy"))
    again = client.request("echo", {"path": Path("x"), "n": np.int16(3)}, {"image": (voxels, np.eye(4))})
    assert again["settings"] == {"path": "x", "n": 3}
    assert client.request("count")["pid"] == pid


def test_the_log_of_the_client_before_is_kept(make, tmp_path):
    log = tmp_path / "logs" / "w.log"
    for _ in range(2):
        client = make(log=log)
        client.request("chatter")
        client.close()
        client.request("count")  # a restart of the same client goes on in the same log
    assert log.read_text(encoding="utf-8").count("kaf.worker") == 2
    assert "a child prints" in (tmp_path / "logs" / "w.1.log").read_text(encoding="utf-8")
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert make(log=blocked / "w.log").request("count")["n"] == 1


def test_the_slicer_side_stays_without_torch_and_pydantic():
    code = "import sys, kaf.worker.client; print({'torch', 'pydantic', 'monai'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, env=environment())
    assert done.stdout.strip() == b"set()"


@pytest.mark.skipif(sys.platform == "win32", reason="the interpreter is a shell script")
@pytest.mark.parametrize("greeting", [
    {"code": READY, "data": {"pid": 1, "versions": {"kaf": "0.0.1"}}}, {"pid": 1, "versions": {"kaf": "0.0.1"}},
], ids=["with a code", "of an older version"])
def test_a_worker_of_another_version_is_refused(tmp_path, greeting):
    line = json.dumps({"id": 0, "event": "message", "text": "bereit", "level": "info", **greeting})
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\necho '{line}'\nexec cat > /dev/null\n")
    python.chmod(0o755)
    with Client(python=python, log=tmp_path / "log.txt") as client, \
            pytest.raises(WorkerError, match=r"the kaf it finds is version 0\.0\.1"):
        client.request("ping")
