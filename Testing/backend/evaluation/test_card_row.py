"""The row of a card from an evaluation: figures, model, and what is refused."""

from __future__ import annotations

import json

import pytest
from evaluation_toys import settings, strict_json

from kaf.cli.entry import main
from kaf.modelfile.card_check import check_card
from kaf.runtime.errors import InputError
from kaf.verbs.evaluate import evaluate


def report(folder, case: str, model: str) -> None:
    (folder / f"{case}-seg.json").write_text(json.dumps({"model": model, "model_digest": model * 8, "outputs": {}}))


def test_the_row_holds_the_figures_the_model_and_how_they_were_made(folders):
    for case in ("case2", "case10"):
        report(folders[0], case, "heart")
    found = evaluate(settings(folders, card_row="another centre"))
    (name, row), = strict_json(folders[2] / "card-row.json")["out-of-domain"].items()
    assert name == "another centre"
    assert (row["cases"], row["model"], row["digest"]) == (2, "heart", "heart" * 8)
    assert row["Dice"] == pytest.approx(sum(case.dice for case in found.cases) / 2, abs=1e-4)
    assert row["Dice per structure"]["Left ventricle"] == pytest.approx(0.5)
    assert row["pooled Dice"] == pytest.approx(found.pooled_dice, abs=1e-4)


def test_the_row_fits_a_card(folders):
    from dataclasses import replace

    from small_models import CARD

    evaluate(settings(folders, card_row="x"))
    card = replace(CARD, metrics=json.loads((folders[2] / "card-row.json").read_text()))
    check_card(card.to_dict())


def test_without_the_setting_there_is_no_row_and_one_of_somebody_else_stays(folders):
    evaluate(settings(folders))
    assert not (folders[2] / "card-row.json").exists()
    (folders[2] / "card-row.json").write_text("mine")
    assert main(["evaluate", str(folders[0]), str(folders[1]), "--output", str(folders[2]), "--overwrite",
                 "--card-row", "x"]) == 1
    assert (folders[2] / "card-row.json").read_text() == "mine"


def test_the_command_prints_it_and_refuses_several_models(folders, capsys):
    assert main(["evaluate", str(folders[0]), str(folders[1]), "--output", str(folders[2]), "--card-row", "a|b"]) == 0
    assert "| a/b | 2 | 0." in capsys.readouterr().out
    report(folders[0], "case2", "one")
    report(folders[0], "case10", "two")
    with pytest.raises(InputError, match="several models"):
        evaluate(settings(folders, card_row="x", overwrite=True))
