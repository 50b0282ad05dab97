"""A worker at the other end of ssh, or of a program that stands for it: voxels to the last bit, models by digest,
nothing left behind, and every end of a connection explained."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from made_models import tiny_model
from ssh_stand_in import stand_in
from worker_toys import KILL, asleep, gone

from kaf.phantom.heart import cardiac_phantom
from kaf.runtime import user_folders
from kaf.runtime.errors import Cancelled, InputError, ResourceError, SettingsError, WorkerError
from kaf.runtime.events import Progress
from kaf.settings.segment import SegmentSettings
from kaf.verbs.segment import segment
from kaf.worker import file_lines
from kaf.worker.client import Client
from kaf.worker.remote_child import Remote

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the program that stands for ssh is a shell script")
KAF = f'"{sys.executable}" -m kaf'


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("two computers é")


@pytest.fixture(scope="module")
def ssh(folder):
    return str(stand_in(folder))


@pytest.fixture(scope="module")
def make(folder, ssh):
    made = []

    def client(host="me@gpu", command=KAF, verbs="worker_toys:TABLE"):
        made.append(Client(log=folder / f"log-{len(made)}.txt", verbs=verbs, remote=Remote(host, command, ssh)))
        return made[-1]

    yield client
    for one in made:
        one.close()


@pytest.fixture(scope="module")
def client(make):
    return make()


@pytest.fixture
def home(folder, monkeypatch):
    """A library on this computer that the other one does not have."""
    monkeypatch.setattr(user_folders, "data_folder", lambda: folder / "here")
    (folder / "here" / "models").mkdir(parents=True, exist_ok=True)
    return folder / "here" / "models"


def lying_there(folder, host="me@gpu"):
    """The files in the temporary folder of the other computer."""
    return sorted(name for _, _, names in os.walk(folder / "there" / f"tmp-{host}") for name in names)


def left_there(folder, host):
    """Those that stay when the worker there has ended, which takes a moment."""
    end = time.monotonic() + 20
    while lying_there(folder, host) and time.monotonic() < end:
        time.sleep(0.02)
    return lying_there(folder, host)


def test_voxels_travel_through_the_pipe_and_no_path_of_here_is_known_there(client, folder):
    large = np.random.default_rng(0).normal(size=(3, 400, 300)).astype(np.float32)  # several lines of the protocol
    affine = np.random.default_rng(1).normal(size=(4, 4))
    assert large.nbytes > file_lines.PART
    empty = np.zeros((0, 2), np.uint8)
    result = client.request("echo", {"a": [1]}, {"image": (large, affine), "empty": (empty, affine)})
    voxels, placed = result["arrays"]["image"]
    assert voxels.tobytes() == large.tobytes()
    assert placed.tobytes() == affine.tobytes()
    assert result["arrays"]["empty"][0].shape == (0, 2)
    assert result["settings"] == {"a": [1]}
    assert all(Path(source).is_relative_to(folder / "there" / "tmp-me@gpu") for source in result["sources"].values())


def test_a_volume_that_is_there_is_not_sent_again_and_an_old_one_goes(client, folder):
    first, second = np.ones((1, 2, 2)), np.zeros((2, 2, 2))
    send = lambda array, key: client.request("echo", {}, {"image": (array, np.eye(4))}, keys={"image": key})  # noqa: E731
    one = send(first, "a")["sources"]["image"]
    assert send(first, "a")["sources"]["image"] == one
    other = send(second, "b")
    assert other["arrays"]["image"][0].tobytes() == second.tobytes()
    assert [name for name in lying_there(folder) if name.startswith("in-")] == [Path(other["sources"]["image"]).name]


def test_files_that_a_verb_makes_arrive(client):
    picture = client.request("leave")["picture"]
    assert Path(picture).read_bytes() == b"png"
    shutil.rmtree(Path(picture).parent)


def test_an_error_arrives_and_names_the_computer_where_that_is_of_use(client):
    with pytest.raises(InputError, match=r"^scan.nii: has holes"):
        client.request("fail", {"kind": "InputError", "words": "has holes"})
    with pytest.raises(ResourceError, match=r"^me@gpu: fail: this computer ran out of memory"):
        client.request("fail", {"kind": "MemoryError", "words": ""})


def test_a_model_travels_once_and_one_that_is_there_does_not(make, home, folder):
    tiny_model(home / "mine.safetensors", name="mine")
    client = make("me@models")
    seen = [client.request("echo", {"model": "mine"})["settings"]["model"] for _ in range(2)]
    assert seen == ["mine", "mine"]  # what the other end calls it never shows
    assert [name for name in lying_there(folder, "me@models") if name.endswith(".safetensors")]
    there = folder / "there" / "data" / "kaf" / "models"
    there.mkdir(parents=True)
    shutil.copy(home / "mine.safetensors", there / "other-name.safetensors")
    client.close()
    assert left_there(folder, "me@models") == []
    assert make("me@models").request("echo", {"model": "mine"})["settings"]["model"] == "mine"
    assert not [name for name in lying_there(folder, "me@models") if name.startswith("model-")]


def test_a_model_that_is_nowhere_and_a_path_of_this_computer_are_refused_here(client, home):
    with pytest.raises(Exception, match="is not in the library"):
        client.request("echo", {"model": "nowhere"})
    with pytest.raises(InputError, match="is a file of this computer"):
        client.request("echo", {}, options={"image": "/data/heart.nii.gz"})
    assert client.request("count")["n"]  # and the connection goes on


def test_cancel_ends_the_worker_there_and_nothing_stays(make, folder):
    client = make("me@cancelled")
    job, pids = asleep(client)
    job.cancel()
    with pytest.raises(Cancelled):
        job.result()
    assert all(gone(pid) for pid in pids)
    assert left_there(folder, "me@cancelled") == []


def test_a_connection_that_breaks_is_explained_and_the_next_request_makes_another(make):
    client = make()
    job, pids = asleep(client)
    os.kill(client._children[0].pid, KILL)
    with pytest.raises(WorkerError, match=r"connection to me@gpu broke.*Nothing was changed on this computer"):
        job.result()
    assert all(gone(pid) for pid in pids)
    assert client.request("count")["n"] == 1


@pytest.mark.parametrize(("host", "command", "words"), [
    ("nobody@gpu", KAF, r"nobody@gpu: could not be connected to; .*Permission denied.*Run `ssh nobody@gpu`"),
    ("me@gpu", "no-such-kaf", r"me@gpu: has no command 'no-such-kaf'.*Install KAF"),
    ("me@gpu", "false", r"me@gpu: was reached, but KAF did not start there"),
])
def test_what_keeps_a_connection_from_being_made(make, host, command, words):
    with pytest.raises(WorkerError, match=words):
        make(host, command).request("ping")


def test_another_version_gets_no_scan(make, folder, monkeypatch):
    monkeypatch.setattr("kaf.worker.client_job.__version__", "9.9")
    monkeypatch.setattr("kaf.worker.remote_child.__version__", "9.9")
    with pytest.raises(WorkerError, match=r"^me@old: the kaf it finds is version .*, this one is 9.9"):
        make("me@old").request("echo", {}, {"image": (np.zeros((1, 2, 2)), np.eye(4))})
    assert left_there(folder, "me@old") == []


@pytest.mark.parametrize(("host", "command"), [
    ("-oProxyCommand=x", "kaf"), ("me@gpu; rm", "kaf"), ("", "kaf"), ("me@gpu", ""), ("me@gpu", "kaf\nrm")])
def test_what_is_no_name_of_a_computer_or_no_command(make, host, command):
    with pytest.raises(SettingsError):
        make(host, command).request("ping")


def test_no_ssh_on_this_computer(folder):
    client = Client(log=folder / "none.txt", remote=Remote("me@gpu", program="no-such-ssh"))
    with pytest.raises(WorkerError, match=r"ssh program was not found.*OpenSSH"):
        client.request("ping")
    client.close()


@pytest.mark.parametrize("values", [
    {"file": "../x", "offset": 0, "data": ""}, {"file": "a/b", "offset": 0, "data": ""},
    {"file": "", "offset": 0, "data": ""}, {"file": "x", "offset": 0, "data": "!"},
    {"file": "x", "offset": 7, "data": "eJwDAAAAAAE="}])
def test_a_part_that_leads_elsewhere_or_is_damaged_is_refused(values, tmp_path):
    with pytest.raises(ValueError, match=r"name of a file|damaged|missing"):
        file_lines.keep_part(values, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] in ([], ["x"])


def test_files_as_lines(tmp_path):
    content = np.random.default_rng(2).bytes(file_lines.PART + 5)
    (tmp_path / "a").write_bytes(content)
    (tmp_path / "to").mkdir()
    lines = list(file_lines.file_lines(1, tmp_path / "a"))
    assert len(lines) == 2
    for line in lines:
        file_lines.keep_part(json.loads(line), tmp_path / "to")
    assert (tmp_path / "to" / "a").read_bytes() == content


def test_progress_of_a_large_scan(client):
    events = []
    client.request("echo", {}, {"image": (np.zeros((8, 400, 300)), np.eye(4))}, on_event=events.append)
    (sending, *_) = [event for event in events if isinstance(event, Progress)]
    assert sending.stage == "sending"
    assert 0 < sending.done <= sending.total


def test_a_model_segments_there_as_it_does_here(make, home):
    """The whole way of a run: the model is sent and loaded, the scan and the labels travel."""
    path = tiny_model(home / "tiny.safetensors", name="tiny")
    scan, _ = cardiac_phantom(3, slices=2, size=32, spacing=6.0)
    settings = {"model": "tiny", "device": "cpu", "uncertainty": True}
    there = make("me@models", verbs=None).request("segment", settings, {"image": (scan.voxels, scan.affine)})
    here = segment(scan, SegmentSettings(model=str(path), device="cpu", uncertainty=True))
    labels, affine = there["arrays"]["labels"]
    assert np.array_equal(labels, here.labels.voxels)
    assert np.array_equal(affine, scan.affine)
    assert np.allclose(there["arrays"]["uncertainty"][0], here.uncertainty.voxels, atol=1e-4)
    assert there["place"].endswith("(me@models)")


@pytest.mark.skipif(subprocess.run(["ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=2", "localhost", "true"],
                                   capture_output=True, check=False).returncode != 0 if shutil.which("ssh") else True,
                    reason="ssh to localhost wants a password here")
def test_real_ssh_to_this_computer(folder):
    home = Path(__file__).resolve().parents[3] / "KAFSegmentation"
    command = f'env PYTHONPATH="{home}" "{sys.executable}" -m kaf'
    client = Client(log=folder / "real.txt", remote=Remote("localhost", command))
    assert client.request("ping")["versions"]["kaf"]
    client.close()
