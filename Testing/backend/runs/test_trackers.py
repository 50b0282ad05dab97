"""What a run says in numbers and pictures is in a CSV file, TensorBoard or MLflow too, where that is asked for."""

import csv
import importlib.machinery
import json
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from finetune_toys import small_run
from pretrain_toys import small_pretraining
from small_models import write_phantoms

from kaf.cli import entry
from kaf.picture.overview import encode_png
from kaf.runs.layout import RUN, TRAINING
from kaf.runs.trackers import tracked
from kaf.runtime.errors import Cancelled, SettingsError
from kaf.runtime.events import Message, Metric, Picture, Progress
from kaf.training import loop
from kaf.verbs.finetune import finetune
from kaf.verbs.pretrain import pretrain


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tracked")
    write_phantoms(folder / "scans", ("anna", "bert", "carl"))
    return folder


@pytest.fixture
def mlflow(monkeypatch):
    """A module of MLflow's name that remembers what it is given."""
    said, module = [], ModuleType("mlflow")
    module.__spec__ = importlib.machinery.ModuleSpec("mlflow", None)

    def start_run(run_id=None, run_name=None):
        said.append(("start", run_id, run_name))
        return SimpleNamespace(info=SimpleNamespace(run_id=run_id or "abc"))

    module.start_run = start_run
    for name in ("log_params", "log_dict", "log_metrics", "log_artifact", "end_run"):
        setattr(module, name, lambda *values, _name=name, **more: said.append((_name, *values, *more.values())))
    monkeypatch.setitem(sys.modules, "mlflow", module)
    return said


def a_picture(folder):
    path = folder / "pictures" / "views-2.png"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(encode_png(np.full((4, 6, 3), (10, 20, 30), np.uint8)))
    return Picture("views", str(path))


def scalars_of(folder):
    """Name -> {step: value} of TensorBoard's files in a run folder, and the names of the images."""
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    found = reader.EventAccumulator(str(folder / "tensorboard"), size_guidance={reader.SCALARS: 0})
    found.Reload()
    tags = found.Tags()
    scalars = {name: {event.step: event.value for event in found.Scalars(name)} for name in tags["scalars"]}
    return scalars, tags["images"]


def test_a_csv_file_has_the_numbers_and_a_run_that_goes_on_adds_to_it(tmp_path):
    for step, loss in ((10, 0.5), (20, 0.25)):
        with tracked("csv", tmp_path, {"seed": 4}, lambda event: None) as send:
            send(Metric(step, {"loss": loss, "learning rate, peak": 1e-3}))
            send(a_picture(tmp_path))
    with (tmp_path / "metrics.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows == [["step", "metric", "value"], ["10", "loss", "0.5"], ["10", "learning rate, peak", "0.001"],
                    ["20", "loss", "0.25"], ["20", "learning rate, peak", "0.001"]]
    assert TRAINING.strangers(tmp_path) == []


def test_tensorboard_has_the_scalars_and_pictures_of_the_events(tmp_path):
    pytest.importorskip("tensorboard")
    reported = []
    with tracked("tensorboard", tmp_path, {"seed": 4}, reported.append) as send:
        for step in (1, 2):
            send(Metric(step, {"loss": 0.5 * step, "learning rate": 0.1}))
        send(Progress("training", 2, 3))
        send(a_picture(tmp_path))
    assert [type(event) for event in reported] == [Metric, Metric, Progress, Picture], "the watcher hears all of it"
    scalars, images = scalars_of(tmp_path)
    assert scalars["loss"] == {1: 0.5, 2: 1.0}
    assert len(scalars) == 2
    assert images == ["views"]
    with tracked("tensorboard", tmp_path, {}, reported.append) as send:  # goes on after its checkpoint at step 1
        send(Metric(2, {"loss": 7.0}))
    assert scalars_of(tmp_path)[0]["loss"] == {1: 0.5, 2: 7.0}


@pytest.mark.parametrize("verb", ["pretrain", "finetune"])
def test_a_run_is_in_tensorboard(folder, verb, monkeypatch):
    pytest.importorskip("tensorboard")
    monkeypatch.setattr(loop, "_REPORT_EVERY", 1)
    reported, given = [], {"log": "tensorboard", "steps": 2, "epochs": None}
    if verb == "finetune":
        finetune(small_run(folder, folder / "scans", verb, few_shot=1, **given), reported.append)
    else:
        pretrain(small_pretraining(folder, folder / "scans", verb, method="mae", **given), reported.append)
    scalars, _ = scalars_of(folder / verb)
    expected = {event.step: event.values["loss"] for event in reported if isinstance(event, Metric)}
    assert len(expected) == 2
    assert scalars["loss"] == pytest.approx(expected, rel=1e-5)
    assert TRAINING.strangers(folder / verb) == RUN.strangers(folder / verb) == []


def test_mlflow_has_them_and_a_run_that_goes_on_is_the_same_run(tmp_path, mlflow):
    for values in ({"seed": 4, "text": "x" * 900}, {"seed": 5}):
        with tracked("mlflow", tmp_path, values, lambda event: None) as send:
            send(Metric(3, {"validation Dice [%]": 0.25}))
            send(a_picture(tmp_path))
    assert mlflow == [
        ("start", None, tmp_path.name), ("log_params", {"seed": "4", "text": "x" * 500}),
        ("log_dict", {"seed": 4, "text": "x" * 900}, "settings.json"),
        ("log_metrics", {"validation Dice ___": 0.25}, 3),
        ("log_artifact", str(tmp_path / "pictures" / "views-2.png"), "pictures"), ("end_run", "FINISHED"),
        ("start", "abc", None), ("log_dict", {"seed": 5}, "settings.json"),
        ("log_metrics", {"validation Dice ___": 0.25}, 3),
        ("log_artifact", str(tmp_path / "pictures" / "views-2.png"), "pictures"), ("end_run", "FINISHED")]
    assert json.loads((tmp_path / "mlflow.json").read_text()) == {"run": "abc"}
    assert TRAINING.strangers(tmp_path) == []


@pytest.mark.parametrize(("error", "ending"), [(KeyboardInterrupt, "KILLED"), (ValueError, "FAILED"),
                                               (Cancelled, "KILLED")])
def test_mlflow_is_reported_how_a_run_ended(tmp_path, mlflow, error, ending):
    def run():
        with tracked("mlflow", tmp_path, {}, lambda event: None) as send:
            send(Metric(1, {"loss": 1.0}))
            raise error()

    with pytest.raises(error):
        run()
    assert mlflow[-1] == ("end_run", ending)


def test_a_tracker_that_fails_is_left_out_with_one_warning(tmp_path, mlflow, monkeypatch):
    def refuse(*_, **__):
        raise ConnectionError("no server at\nlocalhost")

    monkeypatch.setattr(sys.modules["mlflow"], "start_run", refuse)
    reported = []
    with tracked("mlflow", tmp_path, {}, reported.append) as send:
        for step in range(3):
            send(Metric(step, {"loss": 1.0}))
    (warning,) = [event for event in reported if isinstance(event, Message)]
    assert warning.level == "warning"
    assert warning.text == "The run goes on without mlflow, which failed (ConnectionError: no server at localhost)."
    assert len(reported) == 4


def test_without_events_nothing_is_made(tmp_path, mlflow):
    """As in the processes that do not lead a run."""
    with tracked("mlflow", tmp_path, {}, lambda event: None), tracked("none", tmp_path, {}, print):
        pass
    assert mlflow == []


@pytest.mark.parametrize("kind", ["tensorboard", "mlflow"])
def test_a_missing_package_is_said_before_the_run_begins(folder, tmp_path, monkeypatch, capsys, kind):
    monkeypatch.setitem(sys.modules, kind, None)
    with pytest.raises(SettingsError, match=rf"pip install {kind}"):
        finetune(small_run(tmp_path, folder / "scans", "never", log=kind))
    assert not (tmp_path / "never").exists()
    assert entry.main(["pretrain", str(folder / "scans"), "--output", str(tmp_path / "never"), "--log", kind]) == 2
    assert f"log: {kind} needs the Python package {kind}, which is not installed" in capsys.readouterr().err
    assert entry.main(["finetune", "x", "--output", "y", "--log", "paper"]) == 2
