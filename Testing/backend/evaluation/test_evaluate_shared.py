"""An evaluation that was stopped goes on, and processes share its cases."""

from __future__ import annotations

from pathlib import Path

import pytest
from evaluation_toys import settings, strict_json

from kaf.cli import entry as cli
from kaf.cohort import scoring as module
from kaf.verbs.evaluate import evaluate


@pytest.fixture
def scored(monkeypatch) -> list[str]:
    """Names of the cases that are scored from now on."""
    names, score = [], module.score
    monkeypatch.setattr(module, "score", lambda pair, *rest: names.append(pair.name) or score(pair, *rest))
    return names


def numbers(folder: Path) -> dict:
    return {name: value for name, value in strict_json(folder / "evaluation.json").items() if name != "created"}


def test_an_evaluation_that_was_killed_goes_on_with_the_next_case(folders, scored, monkeypatch):
    evaluate(settings(folders))
    straight = numbers(folders[2])
    for file in folders[2].iterdir():
        file.unlink()
    order = list(scored)
    put = module.Kept.put

    def killed(self, pair, result):
        if pair.name == order[1]:
            raise SystemExit
        put(self, pair, result)

    with monkeypatch.context() as patched:
        patched.setattr(module.Kept, "put", killed)
        with pytest.raises(SystemExit):
            evaluate(settings(folders))
    assert not (folders[2] / "evaluation.json").exists()
    scored.clear()
    evaluate(settings(folders))
    assert scored == order[1:]
    assert numbers(folders[2]) == straight
    assert {file.name for file in folders[2].iterdir()} == {"evaluation.csv", "evaluation.json", "report.html"}


def test_a_second_process_scores_what_the_first_one_then_takes(folders, scored, monkeypatch, capsys):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    command = ["evaluate", *map(str, folders[:2]), "--output", str(folders[2])]
    assert cli.main(command) == 0
    assert capsys.readouterr().out == ""
    assert sorted(scored) == ["case10", "case2"]
    assert not (folders[2] / "evaluation.json").exists()
    monkeypatch.setenv("RANK", "0")
    assert cli.main(command) == 0
    assert "mean Dice" in capsys.readouterr().out
    assert len(scored) == 2
    assert (folders[2] / "report.html").is_file()


def test_a_changed_file_is_scored_again(folders, scored):
    module.score_cases(settings(folders))
    assert len(scored) == 2
    module.score_cases(settings(folders))
    assert len(scored) == 2
    file = next(folders[0].glob("case10*"))
    file.write_bytes(file.read_bytes())
    module.score_cases(settings(folders))
    assert scored[2:] == ["case10"]
