"""What is typed and chosen costs no look at a disk in the GUI thread: a share that is gone would hold Slicer at every
key."""

import time

import pytest

pytest.importorskip("slicer", reason="needs slicer-core")
pytest.importorskip("PySide6", reason="needs PySide6-Essentials")

import qt
from disk_watch import disk_watch
from pretrain_panel import scan_folder, settle

import host
from kaf.runs import start as jobs


def change_all(pretrain):
    """Types into every field and turns every number and every choice of the open tabs once."""
    ui = pretrain.ui
    for index in range(ui.tabs.count):
        ui.tabs.setCurrentIndex(index)
        page = ui.tabs.widget(index)
        for edit in page.findChildren(qt.QLineEdit):
            if edit.isEnabled() and not edit.readOnly and not isinstance(edit.parent(), qt.QAbstractSpinBox) \
                    and edit is not ui.dataPath.comboBox().lineEdit():
                edit.text = edit.text + "x"
        for spin in [*page.findChildren(qt.QSpinBox), *page.findChildren(qt.QDoubleSpinBox)]:
            spin.stepBy(1)
        for combo in page.findChildren(qt.QComboBox):
            if not combo.editable and combo.count > 1 and "Run" not in combo.objectName:
                combo.setCurrentIndex((combo.currentIndex + 1) % combo.count)
        host.pump(20)


def test_no_key_and_no_choice_touches_a_disk(makePretrain, hearts, runs):
    pretrain = makePretrain(runs=runs)
    ui = pretrain.ui
    scan_folder(pretrain, hearts)
    change_all(pretrain)  # what is imported or read once is there then
    settle(pretrain)
    pretrain.widget.pretraining._timer.stop()  # which looks at the run that is shown
    with disk_watch() as seen:
        change_all(pretrain)
        assert pretrain.widget.pretraining.data.inspection is not None  # or nobody would have had to look
        host.type_text(ui.dataPath.comboBox().lineEdit(), "/not there")
        ui.dataPath.setCurrentPath("")
    assert seen == []


def test_the_library_is_read_beside_the_gui(makePretrain, library, runs):
    panel = makePretrain(runs=runs).widget.pretraining
    with disk_watch() as seen:
        panel.refreshRuns()
        host.wait_until(lambda: not panel.jobs.isSearching, "the runs and the models")
        host.pump(20)
    assert not [line for line in seen if str(library) in line]
    assert [entry.name for entry in panel.jobs.entries] == ["tiny"]


def test_a_path_that_is_typed_is_looked_at_once_beside_the_gui(makePretrain, tmp_path, monkeypatch):
    """And one level deep: typing /home/me/runs passes by / and /home."""
    pretrain = makePretrain()
    looks = []
    find = jobs.find
    monkeypatch.setattr(jobs, "find", lambda folder, depth=6: looks.append((str(folder), depth)) or find(folder, depth))
    wanted = tmp_path / "deep"
    (wanted / "one" / "two" / "run" / "job").mkdir(parents=True)
    (wanted / "one" / "two" / "run" / "job" / "job.json").write_text("{}")
    with disk_watch() as seen:
        host.type_text(pretrain.ui.runsPath.comboBox().lineEdit(), str(wanted))
        host.wait_until(lambda: looks, "the look for runs")
    settle(pretrain)
    assert looks == [(str(wanted), 1)]
    assert seen == []
    assert pretrain.widget.pretraining.jobs.all() == []
    assert qt.QSettings().value("KAFPretrain/RunsFolder") == str(wanted)


def test_the_panel_answers_while_a_disk_does_not(makePretrain, tmp_path, monkeypatch):
    """A share that is gone takes a minute to say so, and neither keys nor other paths wait for it."""
    pretrain = makePretrain()
    ui, gone = pretrain.ui, []

    def slow(folder, depth=6):
        gone.append(str(folder))
        while str(folder).endswith("gone") and gone:
            time.sleep(0.02)
        return []

    monkeypatch.setattr(jobs, "find", slow)
    host.type_text(ui.runsPath.comboBox().lineEdit(), str(tmp_path / "gone"))
    host.wait_until(lambda: gone, "the look for runs")
    host.type_text(ui.runsPath.comboBox().lineEdit(), str(tmp_path))
    host.wait_until(lambda: str(tmp_path) in gone, "the next look")
    settle(pretrain)
    assert qt.QSettings().value("KAFPretrain/RunsFolder") == str(tmp_path)
    gone.clear()


def test_start_takes_the_folder_that_stands_there_however_fast_it_was_typed(makePretrain, hearts, tmp_path):
    pretrain = makePretrain()
    scan_folder(pretrain, hearts)
    pretrain.ui.runsPath.setCurrentPath(str(tmp_path / "mine"))
    pretrain.widget.pretraining.makeReady()  # Start, Evaluate and all the others begin with it
    assert qt.QSettings().value("KAFPretrain/RunsFolder") == str(tmp_path / "mine")
    settle(pretrain)


def test_another_path_ends_the_scan_of_the_folder_before_it(pretrain, hearts, tmp_path):
    """Its result is not this folder's."""
    other = tmp_path / "other"
    other.mkdir()
    part = pretrain.widget.pretraining.data
    pretrain.ui.dataPath.setCurrentPath(str(hearts))
    settle(pretrain)
    host.click(pretrain.ui.scanButton)
    assert part.isScanning
    pretrain.ui.dataPath.setCurrentPath(str(other))
    assert not part.isScanning
    settle(pretrain)
    assert part.inspection is None
    assert "Press Scan folder" in pretrain.ui.understoodLabel.text
