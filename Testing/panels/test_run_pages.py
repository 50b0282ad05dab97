"""The pages of a run open with one click: its report, also while it is going, and TensorBoard or MLflow."""

import sys
import urllib.request
from types import SimpleNamespace

import pytest

pytest.importorskip("slicer", reason="needs slicer-core")
pytest.importorskip("PySide6", reason="needs PySide6-Essentials")

import qt

import host
from kaf.runs import start as jobs
from kaf.runtime.errors import OutputError, SettingsError
from KAFPretrainLib.models.ModelRegistration import isReady
from KAFPretrainLib.runs import RunPages as module
from KAFPretrainLib.runs.RunPages import RunPages

SERVER = """#!{python}
import http.server, sys
assert sys.argv[1:4] == ["-m", "tensorboard.main", "--logdir"], sys.argv
if "broken" in sys.argv[4]:
    sys.exit("No module named tensorboard")
http.server.HTTPServer(("127.0.0.1", int(sys.argv[-1])), http.server.SimpleHTTPRequestHandler).serve_forever()
"""


@pytest.fixture
def opened(monkeypatch):
    found = []
    monkeypatch.setattr(qt.QDesktopServices, "openUrl", lambda url: found.append(url.toString()))
    return found


@pytest.fixture
def pages(tmp_path):
    """The pages of runs, whose Python is a program that stands for TensorBoard."""
    python = tmp_path / "python"
    python.write_text(SERVER.format(python=sys.executable))
    python.chmod(0o755)
    told = SimpleNamespace(errors=[], show=lambda text, level="info": None, clear=lambda: None)
    told.showError = told.errors.append
    made = RunPages(SimpleNamespace(setup=SimpleNamespace(python=lambda: str(python)), message=told))
    made.told = told
    yield made
    made.close()


def run_in(folder, state=jobs.FINISHED, *files):
    for name in files:
        (folder / name).mkdir(parents=True) if "." not in name else (folder / name).write_text("{}")
    return SimpleNamespace(folder=folder, state=lambda: state)


def test_the_report_of_a_finished_run_opens_at_once(pages, opened, tmp_path):
    pages.openReport(run_in(tmp_path, jobs.FINISHED, "report.html"))
    assert opened == [qt.QUrl.fromLocalFile(str(tmp_path / "report.html")).toString()]


@pytest.mark.parametrize("files", [(), ("report.html",)])
def test_the_report_of_a_run_that_is_going_is_written_first(pages, opened, tmp_path, monkeypatch, files):
    asked = []
    monkeypatch.setattr(module, "ShortJob", lambda python, arguments, onEvent, onDone: asked.append(
        (arguments, onDone)) or SimpleNamespace(close=lambda: None))
    run = run_in(tmp_path, jobs.RUNNING, *files)
    pages.openReport(run)
    pages.openReport(run)  # a second click waits for the first
    ((arguments, done),) = asked
    assert arguments == ["report", tmp_path]
    done({"report": str(tmp_path / "report.html")}, None)
    assert opened[0].endswith("report.html")
    pages.openReport(run)
    asked[1][1](None, OutputError("disk", "is full", "Free space."))
    assert "is full" in str(pages.told.errors[0])


@pytest.mark.skipif(sys.platform == "win32", reason="the program that stands for TensorBoard is a script")
def test_tensorboard_is_started_for_a_run_and_ends_with_the_panel(pages, opened, tmp_path):
    run = run_in(tmp_path, jobs.FINISHED, "tensorboard")
    assert pages.tracker(run) == "TensorBoard"
    pages.openTracker(run)
    host.wait_until(lambda: opened, "the page")
    assert urllib.request.urlopen(opened[0]).status == 200
    assert opened[0].startswith("http://127.0.0.1:")
    pages.openTracker(run)
    assert opened[0] == opened[1], "one that runs is used again"
    server = pages._server
    pages.close()
    assert server.exited()


@pytest.mark.skipif(sys.platform == "win32", reason="the program that stands for TensorBoard is a script")
def test_a_tensorboard_that_does_not_start_is_an_error_with_a_remedy(pages, opened, tmp_path):
    pages.openTracker(run_in(tmp_path / "broken", jobs.FINISHED, "tensorboard"))
    host.wait_until(lambda: pages.told.errors, "the error")
    assert "No module named tensorboard" in str(pages.told.errors[0])
    assert "pip install tensorboard" in str(pages.told.errors[0])
    assert opened == []


def test_mlflow_opens_where_its_server_is(pages, opened, tmp_path, monkeypatch):
    run = run_in(tmp_path, jobs.FINISHED, "mlflow.json")
    assert pages.tracker(run) == "MLflow"
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(SettingsError, match="mlflow ui"):
        pages.openTracker(run)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://mlflow.example.org")
    pages.openTracker(run)
    assert opened == ["https://mlflow.example.org"]


def test_a_run_that_logs_nowhere_has_no_such_page(pages, tmp_path):
    assert pages.tracker(run_in(tmp_path)) == ""


@pytest.mark.parametrize("changes", [{"verb": "pretrain"}, {"state": jobs.STOPPED}, {"model": None}])
def test_weights_that_nobody_asked_for_never_enter_the_library_by_themselves(tmp_path, changes):
    given = {"verb": "finetune", "model": tmp_path / "model.safetensors", "state": jobs.FINISHED, **changes}
    job = SimpleNamespace(verb=given["verb"], model=given["model"], is_foreign=False, folder=tmp_path,
                          state=lambda: given["state"])
    assert not isReady(job)


@pytest.mark.parametrize(("verdict", "enters"), [
    ({"code": "passed", "patients": 2, "dice": 0.8}, True), ({"code": "no better", "patients": 2, "dice": 0.1,
                                                              "constant": 0.3}, False), (None, False)])
def test_a_fine_tuned_model_enters_it_by_itself_only_when_it_has_passed(tmp_path, verdict, enters):
    from made_models import tiny_model

    path = tiny_model(tmp_path / "model.safetensors", metrics={"verdict": verdict} if verdict else {})
    job = SimpleNamespace(verb="finetune", model=path, is_foreign=False, folder=tmp_path, state=lambda: jobs.FINISHED)
    assert isReady(job) == enters
