"""The reliability campaign (`make campaign`) can be run, finds nothing in a few tries, and finds what is broken."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from random import Random

import numpy as np
import pytest

from campaigns import writers
from campaigns.apart import BrokenCampaign, Done, call, process
from campaigns.bit_flips import flip
from campaigns.geometries import judge
from campaigns.kills import count_operations, kill_at_operation
from campaigns.kills_of_commands import complete, one_set
from campaigns.material import random_labels
from campaigns.runner import play_all, totals
from campaigns.stored_scans import Scan
from campaigns.verdicts import Found, Try, fine, must, paragraph, refused, sound, succeeded

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the campaign forks and reads /proc")
TESTING = Path(__file__).resolve().parents[2]
WELL = "scan.nii: is damaged at its end. Copy or export it again."
AFFINE = np.diag([-1.5, -1.5, 4.0, 1.0])


def campaign(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A Python of its own, which has loaded nothing that must not be forked."""
    found = os.pathsep.join(str(TESTING / name) for name in ("", "helpers", "../KAFSegmentation"))
    return subprocess.run([sys.executable, *arguments], env={**os.environ, "PYTHONPATH": found}, text=True,
                          capture_output=True, check=False)


def test_a_reduced_campaign(tmp_path):
    page = TESTING.parent / "Docs" / "reliability.md"
    before = page.read_bytes()
    done = campaign("-m", "campaigns", "--most", "5", "--json", str(tmp_path / "rows"))
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads((tmp_path / "rows").read_text())
    parts = {row["part"] for row in rows}
    assert parts == {"kills", "geometries", "bad input", "bit flips"}
    for part in parts:
        mine = [row for row in rows if row["part"] == part]
        assert sum(row["counts"]["clear"] for row in mine) == 5
        assert len(mine) >= 4, "tries of few groups only"
    assert page.read_bytes() == before, "a reduced campaign is not for the page"


BROKEN = {
    "kills: files are written in place": ("kills", "models export", """
        import shutil
        from contextlib import contextmanager
        from kaf.modelfile import library

        @contextmanager
        def in_place(path, overwrite=False):
            yield path

        def slowly(source, target):
            content = Path(source).read_bytes()
            with open(target, "wb") as file:
                file.write(content[:1000])
            with open(target, "ab") as file:
                file.write(content[1000:])

        library.atomic_path = in_place
        shutil.copyfile = slowly
        """),
    "geometries: results are upside down": ("geometries", "oblique", """
        from kaf.imaging.grid import Grid

        place = Grid.place
        Grid.place = lambda self, labels: place(self, labels)[::-1]
        """),
    "bad input: errors without a remedy": ("bad input", "no scans at all", """
        from kaf.runtime.errors import KafError

        KafError.__init__ = lambda self, subject, reason, remedy: Exception.__init__(self, f"{subject}: {reason}.")
        KafError.__str__ = lambda self: self.args[0]
        """),
    "bit flips: digests are not compared": ("bit flips", "model files", """
        from kaf.modelfile import weights_file as weights

        weights.data_digest = lambda blob: "0" * 64
        """),
}


PLAY_BROKEN = """
    import json
    import sys
    from pathlib import Path
    from campaigns import __main__ as campaign, apart

    def play(part, group, change, rows):
        exec(change, {"Path": Path})
        sys.argv = ["campaign", "--parts", part, "--only", group, "--most", "4", "--json", rows]
        sys.exit(campaign.main())

    apart.preload()  # once for all of them, each of which is played in a fork
    for number, case in enumerate(json.loads(Path(sys.argv[1]).read_text())):
        done = apart.process(lambda: play(*case, str(Path(sys.argv[1]).with_name(f"rows{number}"))), 600)
        print(json.dumps([done.code, done.out + done.err]))
    """


def test_a_campaign_finds_what_is_broken(tmp_path):
    cases = [(part, group, textwrap.dedent(change)) for part, group, change in BROKEN.values()]
    (tmp_path / "cases").write_text(json.dumps(cases))
    (tmp_path / "broken.py").write_text(textwrap.dedent(PLAY_BROKEN))
    done = campaign(str(tmp_path / "broken.py"), str(tmp_path / "cases"))
    assert done.returncode == 0, done.stderr
    ends = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(ends) == len(BROKEN)
    for number, (case, (code, words)) in enumerate(zip(BROKEN, ends, strict=True)):
        assert code == 1, f"{case}: {words}"
        rows = json.loads((tmp_path / f"rows{number}").read_text())
        faults = [fault for row in rows for fault in row["faults"]]
        assert faults, case
        assert not [fault for fault in faults if "the campaign failed" in fault], faults


def ended(code: int = 1, err: str = f"kaf: {WELL}\n", out: str = "", **more) -> Done:
    values = {"seconds": 1.0, "peak": 400.0, "late": False, "killed": False, **more}
    return Done(code, out, err, **values)


@pytest.mark.parametrize(("done", "kind", "words"), [
    (ended(), "clear", "damaged"),
    (ended(2), "clear", "damaged"),
    (ended(err=f"warning: odd\nkaf: {WELL}\n"), "clear", ""),
    (ended(0, "", "written: out.nrrd"), "wrong", "accepted"),
    (ended(3), "wrong", "exit code 3"),
    (ended(-11), "wrong", "signal 11"),
    (ended(late=True), "wrong", "hangs"),
    (ended(peak=4000.0), "wrong", "4000 MiB"),
    (ended(err="Traceback (most recent call last):\nValueError: x\n"), "wrong", "traceback"),
    (ended(err="kaf: kaf segment: met an unexpected error (x). Please report it.\n"), "wrong", "nobody"),
    (ended(err="kaf: other.nii: is damaged at its end. Copy or export it again.\n"), "unclear", "names none"),
    (ended(err="kaf: scan.nii: is damaged at its end.\n"), "unclear", "no remedy"),
    (ended(err="kaf: scan.nii. Copy or export it again.\n"), "unclear", "no reason"),
    (ended(err=f"kaf: {WELL}\nand more\n"), "unclear", "more than one paragraph"),
    (ended(err="scan.nii is bad\n"), "unclear", "no error message"),
    (ended(err="kaf: scan.nii: it says (KeyError: 'a'). Copy or export it again.\n"), "unclear", "Python"),
    (ended(err="kaf: scan.nii: is \x1b[31mred all over. Copy or export it again.\n"), "unclear", "control"),
])
def test_the_verdict_on_a_refusal(done, kind, words):
    try:
        verdict = refused(done, ["scan.nii"])
    except Found as found:
        verdict = found.verdict
    assert (verdict.kind, words in verdict.words) == (kind, True), verdict


def test_what_must_work_must_end_well():
    succeeded(ended(0, ""))
    sound(ended())
    with pytest.raises(Found, match="should have worked"):
        succeeded(ended())


def test_a_program_may_be_told_the_name_of_a_python_error():
    words = "image: cannot be taken (ValueError: odd). Send another one."
    assert paragraph(words, ["image"], for_programs=True).kind == "clear"
    with pytest.raises(Found):
        paragraph(words, ["image"])


def test_tries_that_fail_die_or_hang_are_wrong_and_the_others_are_counted(tmp_path):
    def fail(here, random):
        raise ValueError("by itself")

    def die(here, random):
        os.kill(os.getpid(), signal.SIGKILL)

    def refuse(here, random):
        must(False, "not so")

    draws = [Try("drawn", "one", lambda here, random: fine(str(random.random())))] * 2
    plays = {"fine": lambda here, random: fine(), "fail": fail, "die": die, "refuse": refuse,
             "hang": lambda here, random: time.sleep(600)}
    reported: list[str] = []
    rows = play_all("part", [*(Try("group", name, play) for name, play in plays.items()), *draws], tmp_path, 1, 2,
                    reported.append, limit=3.0)
    assert [(row.group, dict(row.counts)) for row in rows] == [("group", {"clear": 1, "wrong": 4}),
                                                               ("drawn", {"clear": 2})]
    assert totals(rows)["clear"] == 3
    faults = {fault.partition(":")[0]: fault for fault in rows[0].faults}
    assert set(faults) == {"fail", "die", "refuse", "hang"}
    assert "by itself" in faults["fail"]
    assert "hangs" in faults["hang"]
    assert len(reported) == 4
    assert list(tmp_path.iterdir()) == [], "folders are left behind"


def test_a_function_apart_hands_over_what_it_finds_and_says_when_it_breaks():
    assert call(lambda: {"a": 1}) == {"a": 1}
    with pytest.raises(Found, match="not so"):
        call(must, False, "not so")
    with pytest.raises(BrokenCampaign, match="ZeroDivisionError"):
        call(lambda: 1 / 0)


def write_two() -> None:
    for name in ("one", "two"):
        Path("kept", f".{name}").write_text(name)
        Path("kept", f".{name}").rename(Path("kept", name))


@pytest.mark.parametrize(("number", "left"), [(0, set()), (1, {".one"}), (2, {"one"}), (3, {"one", ".two"})])
def test_a_kill_at_each_file_operation(tmp_path, monkeypatch, number, left):
    monkeypatch.chdir(tmp_path)
    Path("kept").mkdir()
    Path("elsewhere").mkdir()

    def work() -> None:
        kill_at_operation("kept", number)
        Path("elsewhere", "x").write_text("not counted")
        write_two()

    assert process(work).code == -signal.SIGKILL
    assert {path.name for path in Path("kept").iterdir()} == left


def test_file_operations_are_counted(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("kept").mkdir()
    process(lambda: (count_operations("kept", Path("count")), write_two()))
    assert Path("count").stat().st_size == 4


def test_files_of_two_runs_and_half_files_are_found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first, second = {"a.nrrd": b"1", "a.json": b'{"x": 1}'}, {"a.nrrd": b"2", "a.json": b'{"x": 2}'}
    for name, content in (("a.nrrd", b"1"), ("a.json", b'{"x": 1, "seconds": 5}'), (".b-a.nrrd", b"hal")):
        Path(name).write_bytes(content)
    one_set("a.json", first, second)
    complete(first)
    Path("a.nrrd").write_bytes(b"2")
    one_set("b.json", first, second)
    with pytest.raises(Found, match="two runs"):
        one_set("a.json", first, second)
    Path("a.json").write_bytes(b'{"x": ')
    with pytest.raises(Found, match=r"a\.json is half-written"):
        one_set("b.json", first, second)
    Path("a.json").unlink()
    with pytest.raises(Found, match="missing"):
        complete(second)


@pytest.mark.parametrize("change", [lambda labels: labels[:, ::-1], lambda labels: np.roll(labels, 1, 2),
                                    lambda labels: labels * 0, lambda labels: labels.transpose(0, 2, 1)])
def test_labels_in_another_place_are_found(tmp_path, change):
    labels = random_labels((3, 8, 8), 4)
    scan, path, volumes = Scan("", labels, AFFINE, 1.5), tmp_path / "found.nrrd", {}
    for name, value in (("low", 1), ("middle", 3), ("high", 7)):
        volumes[name] = np.count_nonzero(labels == value) * 1.5 * 1.5 * 4 / 1000
    writers.write_nrrd(path, labels, AFFINE)
    assert judge(scan, path, volumes).kind == "clear"
    with pytest.raises(Found, match="mL"):
        judge(scan, path, {**volumes, "low": volumes["low"] + 1})
    writers.write_nrrd(path, np.ascontiguousarray(change(labels)), AFFINE)
    with pytest.raises(Found, match="another label"):
        judge(scan, path, volumes)
    moved = AFFINE.copy()
    moved[0, 3] = 0.5
    writers.write_nrrd(path, labels, moved)
    with pytest.raises(Found, match="of a voxel off"):
        judge(scan, path, volumes)


def test_one_bit_is_flipped_and_the_time_stamp_stays(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(bytes(range(256)) * 30)
    before, stamp = path.read_bytes(), path.stat().st_mtime_ns
    where = flip(path, Random(3))
    after = path.read_bytes()
    assert [n for n, (a, b) in enumerate(zip(before, after, strict=True)) if a != b] == [where]
    assert bin(before[where] ^ after[where]).count("1") == 1
    assert path.stat().st_mtime_ns == stamp
    assert flip(path, Random(4), header=True) < 4096
