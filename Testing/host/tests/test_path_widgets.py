"""Facts of ctkPathLineEdit and ctkDirectoryButton, as CTK's own classes were seen to behave."""

import pytest

pytest.importorskip("slicer", reason="needs slicer-core")
pytest.importorskip("PySide6", reason="needs PySide6-Essentials")

import ctk
import qt

import host


@pytest.fixture
def edit(empty):
    """A path edit with a history of its own, and what it tells."""
    qt.QSettings().clear()
    widget = ctk.ctkPathLineEdit()
    widget.settingKey = "host/paths"
    reported = []
    widget.connect("currentPathChanged(QString)", reported.append)
    widget.connect("validInputChanged(bool)", reported.append)
    yield widget, reported
    qt.QSettings().clear()


def entries(widget):
    return [widget.comboBox().itemText(row) for row in range(widget.comboBox().count)]


def test_every_key_is_reported_whether_or_not_there_is_such_a_path(edit):
    widget, reported = edit
    widget.show()
    host.type_text(widget.comboBox().lineEdit(), "/no")
    assert reported == ["/", True, "/n", "/no"]


def test_an_emptied_field_tells_no_path_only_that_it_is_not_valid(edit):
    widget, reported = edit
    widget.currentPath = "/data"
    reported.clear()
    widget.currentPath = ""
    assert reported == [False]


def test_a_path_that_is_known_leaves_the_history_and_comes_back_and_both_are_reported(edit):
    widget, reported = edit
    widget.currentPath = "/data"
    widget.addCurrentPathToHistory()
    reported.clear()
    widget.addCurrentPathToHistory()
    assert reported == [False, "/data", True]


def test_while_a_known_path_moves_to_the_top_another_one_stands_in_the_field(edit):
    widget, reported = edit
    for path in ("/first", "/second"):
        widget.currentPath = path
        widget.addCurrentPathToHistory()
    widget.comboBox().setCurrentIndex(1)  # chosen behind the arrow
    reported.clear()
    widget.addCurrentPathToHistory()
    assert reported == ["/second", "/first"]
    assert entries(widget) == ["/first", "/second"]


def test_a_new_path_goes_to_the_top_without_a_word(edit):
    widget, reported = edit
    widget.currentPath = "/data"
    reported.clear()
    widget.addCurrentPathToHistory()
    assert (reported, entries(widget)) == ([], ["/data"])


def test_the_history_is_kept_by_its_key_and_shows_five_paths_the_newest_first(edit):
    widget, _ = edit
    for number in range(7):
        widget.currentPath = f"/{number}"
        widget.addCurrentPathToHistory()
    assert entries(widget) == ["/6", "/5", "/4", "/3", "/2"]
    assert list(qt.QSettings().value("ctkPathLineEdit/host/paths"))[-1] == "/0"
    other = ctk.ctkPathLineEdit()
    reported = []
    other.connect("currentPathChanged(QString)", reported.append)
    other.settingKey = "host/paths"
    assert (other.currentPath, reported) == ("/6", [])  # the path of last time stands there, and nobody is notified


def test_a_path_that_stands_there_stays_when_the_history_comes(edit):
    widget, _ = edit
    widget.currentPath = "/old"
    widget.addCurrentPathToHistory()
    other = ctk.ctkPathLineEdit()
    other.currentPath = "/mine"
    other.settingKey = "host/paths"
    assert other.currentPath == "/mine"


def test_without_the_arrow_there_is_no_history(edit):
    widget, reported = edit
    widget.currentPath = "/data"
    widget.showHistoryButton = False
    assert not widget.showHistoryButton
    assert widget.comboBox() is None
    assert widget.currentPath == "/data"
    widget.addCurrentPathToHistory()
    assert qt.QSettings().value("ctkPathLineEdit/host/paths") is None
    reported.clear()
    widget.currentPath = "/more"
    assert reported == ["/more"]


def test_a_path_of_another_kind_is_not_told(edit):
    widget, reported = edit
    widget.nameFilters = ["Settings (*.json *.yaml)"]
    widget.currentPath = "/data/a.txt"
    assert reported == []
    widget.currentPath = "/data/a.json"
    assert reported == ["/data/a.json", True]
    widget.currentPath = "/data/a"
    assert reported[2:] == [False]


def test_what_is_asked_for_by_default(edit):
    widget, _ = edit
    kinds = ctk.ctkPathLineEdit
    assert widget.filters & kinds.Files
    assert widget.filters & kinds.NoDotAndDotDot == kinds.NoDotAndDotDot
    assert not widget.filters & kinds.Writable
    assert widget.showBrowseButton


def test_browsing_takes_what_was_chosen_and_nothing_when_it_was_cancelled(edit):
    widget, reported = edit
    host.dialogs().answer("/data/a.nrrd", None)
    widget.browse()
    widget.browse()
    assert reported == ["/data/a.nrrd", True]
    assert [shown.kind for shown in host.dialogs().shown] == ["getOpenFileName"] * 2
    widget.filters = ctk.ctkPathLineEdit.Dirs
    host.dialogs().answer("/data")
    widget.browse()
    assert host.dialogs().shown[-1].kind == "getExistingDirectory"
