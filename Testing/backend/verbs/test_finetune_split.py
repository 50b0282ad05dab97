"""Who trains and who validates, for how long, and what a model says about itself."""

from __future__ import annotations

from pathlib import Path

import pytest
from finetune_toys import small_run
from small_models import PLAIN, write_phantoms

from kaf.data.folder import Case
from kaf.data.plan import Plan
from kaf.data.splits import Split
from kaf.modelfile.card import card_from_json
from kaf.modelfile.transfer import transfer
from kaf.network import build_network
from kaf.runtime.errors import InputError, SettingsError
from kaf.runtime.events import Progress
from kaf.settings.base import build
from kaf.settings.dimensions import fitted_batch
from kaf.settings.finetune import FinetuneSettings
from kaf.settings.network import NetworkSettings
from kaf.settings.preparation import NormalisationSettings
from kaf.settings.pretrain import PretrainSettings
from kaf.training.cards import finetuned_card
from kaf.training.patients import choose_cases, split_cases
from kaf.training.schedule import finetune_schedule
from kaf.verbs.finetune import finetune

# Every patient was scanned twice, as in ACDC.
CASES = [Case(f"p{n:02d}_{phase}", f"p{n:02d}", Path("i"), Path("l")) for n in range(10) for phase in ("ED", "ES")]
PATIENTS = [f"p{n:02d}" for n in range(10)]


def settings(**values):
    return FinetuneSettings(data="scans", output="run", **values)


@pytest.mark.parametrize("seed", range(20))
def test_no_patient_trains_and_validates(seed):
    split = split_cases(CASES, settings(validation=0.3, seed=seed))
    assert len(split.validation) == 3
    assert sorted(split.train + split.validation) == PATIENTS
    assert split == split_cases(CASES[::-1], settings(validation=0.3, seed=seed))
    fewer = split_cases(CASES, settings(validation=0.3, seed=seed, few_shot=4))
    assert fewer.validation == split.validation
    assert len(set(fewer.train)) == 4
    assert set(fewer.train) < set(split.train)


def test_seeds_draw_differently():
    assert len({split_cases(CASES, settings(validation=0.3, seed=seed)).validation for seed in range(20)}) > 10


def test_named_patients_validate_and_the_others_train():
    split = split_cases(CASES, settings(validation_cases=("p07", "p02"), validation=0.9))
    assert split.validation == ("p02", "p07")
    assert split.train == tuple(p for p in PATIENTS if p not in ("p02", "p07"))


def test_with_a_share_of_nothing_everybody_trains():
    assert split_cases(CASES, settings(validation=0)) == Split(tuple(PATIENTS), (), (), 0, "fine-tuning, by patient")
    one = split_cases(CASES[:2], settings(validation=0.5))
    assert (one.train, one.validation) == (("p00",), ())


def test_cases_are_chosen_by_their_names_or_their_patients():
    chosen = choose_cases(CASES, settings(cases=("p03", "p05_ES", "p05")))
    assert [case.name for case in chosen] == ["p03_ED", "p03_ES", "p05_ED", "p05_ES"]
    assert [case.name for case in choose_cases(CASES, settings(cases=("p05_ES",)))] == ["p05_ES"]
    assert choose_cases(CASES, settings()) == CASES
    with pytest.raises(InputError, match=r"scans: has no labelled case p05_EX, q\. See"):
        choose_cases(CASES, settings(cases=("q", "p03", "p05_EX")))
    with pytest.raises(InputError, match="contains no labelled case"):
        split_cases(choose_cases([], settings()), settings())


@pytest.mark.parametrize("asked", [(), ("p03",)])
def test_leaving_everybody_out_is_reported_as_that(asked):
    everybody = tuple(sorted({case.patient for case in CASES}))
    with pytest.raises(InputError, match=r"scans: every labelled case is left out \(leave_out is p\d+, .*\)\. Leave"):
        choose_cases(CASES, settings(cases=asked, leave_out=everybody))


@pytest.mark.parametrize("kind", [FinetuneSettings, PretrainSettings])
@pytest.mark.parametrize("name", ["epochs", "minutes"])
def test_no_budget_is_beyond_counting(kind, name):
    """1e308 epochs are an infinite number of steps."""
    given = {"data": "scans", "output": "run"}
    assert getattr(build(kind, {**given, name: 1e6}), name) == 1e6
    with pytest.raises(SettingsError, match=f"{name}: Input should be less than or equal to 1000000"):
        build(kind, {**given, name: 1e308})


def test_the_other_scan_of_a_chosen_patient_does_not_come_along(tmp_path):
    data = write_phantoms(tmp_path / "scans", ("patient001_frame01", "patient001_frame12", "patient002_frame01"))
    reported = []
    finetune(small_run(tmp_path, data, cases=("patient001_frame01",), epochs=0.1), reported.append)
    totals = {event.stage: event.total for event in reported if isinstance(event, Progress)}
    assert totals["looking at the labelled cases"] == totals["reading and preparing cases"] == 1


@pytest.mark.parametrize(("values", "steps", "seconds"), [
    ({"epochs": 4}, 25, None), ({"epochs": 0.01}, 1, None), ({}, None, 1200.0), ({"minutes": 0.5}, None, 30.0),
    ({"epochs": 2, "minutes": 3}, 12, 180.0),
])
def test_the_budget_is_passes_over_the_slices_or_minutes(values, steps, seconds):
    schedule = finetune_schedule(settings(batch=16, **values), slices=100)
    assert (schedule.steps, schedule.seconds) == (steps, seconds)


def test_the_schedule_takes_its_numbers_from_the_settings():
    schedule = finetune_schedule(settings(learning_rate=0.1, weight_decay=0.2, clip=0.3, ema=0.4, optimiser="sgd",
                                    patience=5, validate_every=6, checkpoint_every=7), slices=1)
    assert (schedule.learning_rate, schedule.weight_decay, schedule.clip, schedule.ema, schedule.optimiser) == (
        0.1, 0.2, 0.3, 0.4, "sgd")
    assert (schedule.patience, schedule.validate_every, schedule.checkpoint_every) == (5, 6.0, 7.0)


def plan_of(network: NetworkSettings) -> Plan:
    return Plan(1.23456, "axial", 32, (1, 4), "any", NormalisationSettings(), network, 7.0)


def test_what_nobody_stated_is_unspecified():
    plan = plan_of(PLAIN.model_copy(update={"classes": 5}))
    card = finetuned_card(settings(labels={4: "LV"}), plan, Split(("a", "b"), ()), [])
    assert card.label_names == {1: "label 1", 4: "LV"}
    assert (card.weights_licence, card.training_data, card.modality) == ("unspecified", "", "any")
    assert card.metrics == {"training_patients": 2}
    assert (card.spacing, card.slice_spacing) == (1.2346, 7.0)
    assert card_from_json(card.to_json()).to_json() == card.to_json()


def test_the_validation_in_the_card_is_the_last_one_with_its_protocol():
    scores = [{"step": 10, "Dice": 0.9}, {"step": 20, "Dice": 0.123456, "Dice 1": 0.5}]
    card = finetuned_card(settings(), plan_of(PLAIN), Split(("a",), ("b", "c")), scores)
    assert card.metrics["validation"] == {
        "patients": 2, "step": 20, "Dice": 0.1235, "Dice 1": 0.5,
        "protocol": "per-volume Dice on canonical slices of patients not trained on"}


@pytest.mark.parametrize("kind", ["kaf", "basicunet"])
def test_a_model_is_the_whole_start_of_another_of_its_kind(kind):
    network = PLAIN.model_copy(update={"kind": kind})
    card = finetuned_card(settings(), plan_of(network), Split(("a",)), [])
    weights = build_network(network).state_dict()
    assert transfer(build_network(network), weights, "file", card.trained_modules, least=1.0).coverage == 1.0


@pytest.mark.parametrize(("patients", "held_out"), [(1, 0), (3, 0), (4, 1), (12, 1), (20, 2), (80, 8)])
def test_one_patient_in_ten_validates_where_nothing_was_said(patients, held_out):
    cases = [Case(f"c{n}", f"c{n}", Path(f"c{n}.nii.gz"), Path(f"c{n}_gt.nii.gz")) for n in range(patients)]
    split = split_cases(cases, settings())
    assert (len(split.train), len(split.validation)) == (patients - held_out, held_out)
    assert split_cases(cases, settings(validation=0)).validation == ()


@pytest.mark.parametrize(("patch", "said", "batch"), [(48, {}, 16), (64, {}, 16), (80, {}, 8), (192, {}, 8),
                                                      (192, {"batch": 24}, 24), (192, {"batch": 16}, 16)])
def test_wide_patches_come_in_smaller_batches(patch, said, batch):
    assert fitted_batch(settings(**said), patch).batch == batch
