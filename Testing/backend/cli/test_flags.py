"""Flags, settings files and help: every command explained, wrong usage in one paragraph."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from made_models import command_line, files_here
from worker_toys import environment

from kaf.cli.entry import COMMANDS
from kaf.cli.explain import ExplainCommand
from kaf.cli.finetune import FinetuneCommand
from kaf.cli.flags import parse
from kaf.cli.segment import SegmentCommand
from kaf.runtime.errors import SettingsError

HELPS = [[name] for name in COMMANDS] + [
    ["models", name] for name in ("list", "show", "add", "export", "remove")] + [["data", "scan"]]


@pytest.fixture
def kaf(capsys, monkeypatch, tmp_path):
    return command_line(capsys, monkeypatch, tmp_path / "here")


@pytest.mark.parametrize("command", HELPS, ids=" ".join)
def test_every_command_has_help_as_a_message(kaf, command):
    done = kaf(*command, "--help")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("usage: ")
    python = re.search(r"\b(str|int|float|bool)\b|tuple\[|dict\[|default: (None|False|\)|\(\)|\{)", done.out)
    assert python is None, python
    assert "\n    Writes" not in done.out
    assert kaf("--help").code == 0
    assert command[0] in kaf().out


def test_help_loads_no_heavy_library():
    code = f"""
import contextlib, io, sys
from kaf.cli.entry import main
for command in {HELPS!r}:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
        assert main([*command, "--help"]) == 0
main(["models", "list"])
main(["segment", "nothing.nii", "--model", "nothing.safetensors", "--output", "nothing.mha"])
print(sorted({{"torch", "monai", "SimpleITK", "cv2", "scipy", "skimage"}} & set(sys.modules)))
"""
    ran = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True,
                         check=True)
    assert ran.stdout.splitlines()[-1] == "[]"


def test_the_module_runs_and_tells_its_version():
    ran = subprocess.run([sys.executable, "-m", "kaf", "--version"], env=environment(), capture_output=True,
                         text=True, check=True)
    assert re.fullmatch(r"kaf \d+\.\d+\.\d+\S*\n", ran.stdout)


@pytest.mark.parametrize(("arguments", "words"), [
    (["sgment"], "there is no command 'sgment'; did you mean 'kaf segment'?"),
    (["segment", "scan", "--modle", "m"], "did you mean --model?"),
    (["segment", "scan", "--model", "m", "--att"], "did you mean --attention?"),
    (["finetune", "d", "--output", "o", "--network.wdth", "8"], "did you mean --network.width?"),
    (["segment", "scan"], "needs --model. See `kaf segment --help`"),
    (["segment", "--model", "m"], "INPUT"),
    (["segment", "scan", "--model", "m", "--batch", "0"], "batch"),
    (["segment", "scan", "--model", "m", "--roi", "1", "2"], "roi"),
    (["segment", "scan", "--model", "m", "--device", "gpu"], "device"),
    (["explain", "scan", "--model", "m", "--direction", "up"], "saliency"),
    (["finetune", "d", "--output", "o", "--resume", "--overwrite"], "cannot be combined"),
    (["evaluate", "only-one"], "REFERENCE"),
    (["demo", "--sed", "1"], "did you mean --seed?"),
    (["models"], "list, show, add, calibrate, export, remove"),
    (["models", "lst"], "list, show, add, calibrate, export, remove"),
    (["models", "show"], "NAME"),
    (["data", "scn"], "scan"),
    (["segment", "scan", "--settings"], "needs the name of a JSON file"),
    (["segment", "scan", "--model", "m", "--largest-component", "x"], "valid integer"),
    (["finetune", "d", "--output", "o", "--cases", "--seed", "1"], "--cases: expected one argument"),
], ids=" ".join)
def test_wrong_usage_is_reported_in_one_paragraph(kaf, arguments, words):
    done = kaf(*arguments)
    assert (done.code, done.out) == (2, "")
    assert words in done.err
    assert done.err.startswith("kaf: ")
    assert done.err.count("\n") == 1
    assert files_here() == set()


def test_a_settings_file_names_no_other(kaf, tmp_path):
    """It was passed over in silence, and so was all that stood in it."""
    Path("s.json").write_text('{"model": "tiny", "settings": "other.json"}')
    done = kaf("segment", "scan.nrrd", "--settings", "s.json")
    assert (done.code, done.out) == (2, "")
    assert done.err == ("kaf: s.json: names another file of settings, which is not read. Take 'settings' out of it, "
                        "and put all settings into one file.\n")


@pytest.mark.parametrize("given", [["--point", "-10", "-2.5", "30"], ["--point", "-10,-2.5,30"],
                                   ["--point=-10,-2.5,30"], ["--point", "[-10, -2.5, 30]"],
                                   ["--point", "-1e1,", "-2.5", "3e1"]])
def test_a_point_is_three_numbers_however_they_are_written(given):
    command = parse(ExplainCommand, [*given, "scan", "--model", "m"], "explain")
    assert (command.point, command.input) == ((-10.0, -2.5, 30.0), "scan")


def test_lists_boxes_and_names_as_flags():
    command = parse(SegmentCommand, ["--roi", "-10", "-20", "-30", "10", "20", "30", "scan", "--model", "m",
                                     "--largest-component", "1,3", "--no-flips"], "segment")
    assert (command.roi, command.largest_component) == ((-10, -20, -30, 10, 20, 30), (1, 3))
    assert (command.input, command.flips) == ("scan", False)
    command = parse(SegmentCommand, ["--largest-component", "1", "002", "--model", "m"], "segment")
    assert (command.largest_component, command.input) == ((1,), "002")  # a DICOM folder may be called so
    command = parse(FinetuneCommand, [
        "d", "--output", "o", "--labels", "1=LV cavity,2=wall", "--cases", "a,b c", "--cases=007",
        "--validation-cases", '["x, y"]', "--network.scales", "true,false,true,true"], "finetune")
    assert command.labels == {1: "LV cavity", 2: "wall"}
    assert (command.cases, command.validation_cases) == (("a", "b c", "007"), ("x, y",))
    assert command.network.scales == (True, False, True, True)


@pytest.mark.parametrize("written", [["--settings", "s.json"], ["--settings=s.json"]])
def test_a_flag_wins_over_the_settings_file(written, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("s.json").write_text(json.dumps(
        {"output": "o", "batch": 3, "seed": 7, "network": {"width": 8, "blocks": 2}}))
    command = parse(FinetuneCommand, ["d", "--batch", "5", "--network.blocks", "3", *written], "finetune")
    assert (command.output, command.batch, command.seed) == ("o", 5, 7)
    assert (command.network.width, command.network.blocks, command.network.heads) == (8, 3, 4)
    for text, words in (('{"btch": 3}', r"s.json: unknown setting 'btch'; did you mean batch\?"),
                        ("[1]", "s.json: is not a JSON object"), ("{", "s.json: is not valid JSON"),
                        ('{"output": "o", "network": {"wdth": 3}}', "did you mean 'width'")):
        Path("s.json").write_text(text)
        with pytest.raises(SettingsError, match=words):
            parse(FinetuneCommand, ["d", *written], "finetune")
