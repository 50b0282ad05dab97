"""How many threads a process uses: those that were asked for, never more than are free."""

from __future__ import annotations

import builtins
import io
import os

import pytest
import torch
from made_models import RUN
from worker_toys import clients

from kaf.runtime import threads
from kaf.runtime.threads import free_processors, physical_cores, threads_for

WORDS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "SLURM_CPUS_PER_TASK", "LOCAL_WORLD_SIZE", "TORCHELASTIC_RUN_ID")


@pytest.fixture
def computer(monkeypatch, tmp_path):
    """Eight physical cores of two threads each, all of them free; the words of the environment are not there."""
    for name in WORDS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(threads.os, "sched_getaffinity", lambda _: set(range(16)), raising=False)
    monkeypatch.setattr(threads, "physical_cores", lambda: 8)
    monkeypatch.setattr(threads, "_OWN_CGROUPS", tmp_path / "own")
    monkeypatch.setattr(threads, "_CGROUPS", tmp_path / "cgroup")
    return tmp_path


def test_threads_are_those_asked_for_or_one_per_physical_core(computer):
    assert [threads_for(asked) for asked in (0, 1, 3, 12, 16)] == [8, 1, 3, 12, 16]
    assert threads_for(17) == threads_for(1000) == free_processors() == 16


def test_a_process_that_may_run_on_some_processors_only_takes_no_more(computer, monkeypatch):
    monkeypatch.setattr(threads.os, "sched_getaffinity", lambda _: {3, 9, 11})
    assert [threads_for(asked) for asked in (0, 2, 64)] == [3, 2, 3]
    monkeypatch.delattr(threads.os, "sched_getaffinity")
    monkeypatch.setattr(threads.os, "cpu_count", lambda: None)
    assert threads_for(64) == 1


@pytest.mark.parametrize("name", ["OMP_NUM_THREADS", "MKL_NUM_THREADS", "SLURM_CPUS_PER_TASK"])
@pytest.mark.parametrize(("word", "free"), [("1", 1), ("4", 4), (" 5 ", 5), ("3,2", 3), ("64", 16), ("0", 16), ("", 16),
                                            ("many", 16), ("-2", 16)])
def test_the_environment_may_leave_fewer(computer, monkeypatch, name, word, free):
    monkeypatch.setenv(name, word)
    assert free_processors() == free
    assert threads_for(0) == min(8, free)
    assert threads_for(6) == min(6, free)


def test_processes_beside_each_other_share_the_cores(computer, monkeypatch):
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert threads_for() == 2
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "64")
    assert threads_for() == 1


def test_the_one_thread_that_torchrun_says_by_itself_is_no_limit(computer, monkeypatch):
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert threads_for() == 1
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    assert threads_for() == 4
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert threads_for() == 2


@pytest.mark.parametrize(("quota", "free"), [("max 100000", 16), ("200000 100000", 2), ("150000 100000", 1),
                                             ("50000 100000", 1), ("nonsense", 16)])
def test_the_quota_of_a_container_is_kept(computer, quota, free):
    (computer / "own").write_text("0::/pod/box\n")
    (computer / "cgroup" / "pod" / "box").mkdir(parents=True)
    (computer / "cgroup" / "pod" / "box" / "cpu.max").write_text("max 100000\n")
    (computer / "cgroup" / "pod" / "cpu.max").write_text(f"{quota}\n")
    assert free_processors() == free


@pytest.mark.parametrize("where", ["", "docker/0af"])
def test_the_quota_of_the_first_version_of_control_groups_too(computer, where):
    (computer / "own").write_text("4:memory:/x\n2:cpu,cpuacct:/docker/0af\n1:cpuset:/\n")
    group = computer / "cgroup" / "cpu,cpuacct" / where
    group.mkdir(parents=True)
    (group / "cpu.cfs_period_us").write_text("100000\n")
    for quota, free in (("-1", 16), ("300000", 3)):
        (group / "cpu.cfs_quota_us").write_text(f"{quota}\n")
        assert free_processors() == free


def test_two_threads_of_one_core_are_one_core(monkeypatch):
    siblings = {0: "0,4", 4: "0,4", 1: "1,5", 6: "2,6"}

    def fake_open(path, *rest):
        number = int(str(path).split("/cpu/cpu")[1].split("/")[0])
        return io.StringIO(siblings[number] + "\n")

    monkeypatch.setattr(threads.os, "sched_getaffinity", lambda _: set(siblings), raising=False)
    with monkeypatch.context() as patch:
        patch.setattr(builtins, "open", fake_open)
        assert physical_cores() == 3

    def no_such_file(*_):
        raise FileNotFoundError

    with monkeypatch.context() as patch:
        patch.setattr(builtins, "open", no_such_file)
        assert physical_cores() == 4
    monkeypatch.delattr(threads.os, "sched_getaffinity")
    monkeypatch.setattr(threads.os, "cpu_count", lambda: None)
    assert physical_cores() == 1


@pytest.fixture(scope="module")
def make(tmp_path_factory):
    yield from clients(tmp_path_factory.mktemp("worker"))


@pytest.mark.parametrize("asked", [0, 2])
def test_a_client_with_one_thread_is_obeyed_by_torch_in_the_worker(make, model, scan, monkeypatch, asked):
    """Whatever the request says, and although this computer has more."""
    for name in WORDS:
        monkeypatch.delenv(name, raising=False)
    client = make(threads=1)
    settings = {"model": str(model), **RUN, "threads": asked}
    client.request("segment", settings, {"image": (scan.voxels, scan.affine)})
    assert client.request("threads") == {"torch": 1}


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2 if hasattr(os, "sched_getaffinity") else os.cpu_count() < 2,
                    reason="there is only one CPU")
def test_a_client_that_says_nothing_leaves_it_to_the_request(make, model, scan, monkeypatch):
    for name in WORDS:
        monkeypatch.delenv(name, raising=False)
    client = make()
    for asked in (1, 2):
        client.request("segment", {"model": str(model), **RUN, "threads": asked},
                       {"image": (scan.voxels, scan.affine)})
        assert client.request("threads") == {"torch": asked}


def test_this_process_takes_no_more_than_it_may(model, scan, monkeypatch):
    from made_models import run

    before = torch.get_num_threads()
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    try:
        torch.set_num_threads(2)
        run(model, scan, threads=0)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)
