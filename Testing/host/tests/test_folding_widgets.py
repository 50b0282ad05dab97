"""Facts of ctkCollapsibleButton and ctkCollapsibleGroupBox, as CTK's own classes were seen to behave."""

import pytest

pytest.importorskip("slicer", reason="needs slicer-core")
pytest.importorskip("PySide6", reason="needs PySide6-Essentials")

import ctk
import qt

import host


@pytest.fixture(params=["ctkCollapsibleButton", "ctkCollapsibleGroupBox"])
def section(request, empty):
    """A section with two labels, not shown yet."""
    widget = getattr(ctk, request.param)("Section")
    layout = qt.QVBoxLayout(widget)
    labels = qt.QLabel("first"), qt.QLabel("second")
    for label in labels:
        layout.addWidget(label)
    yield widget, *labels
    widget.delete()


@pytest.fixture
def shown(section):
    section[0].show()
    host.pump()
    return section


def test_it_folds_and_unfolds_its_contents(shown):
    section, first, second = shown
    section.collapsed = True
    assert (first.visible, second.visible) == (False, False)
    section.collapsed = False
    assert (first.visible, second.visible) == (True, True)


def test_one_that_is_folded_before_it_is_shown_shows_nothing(section):
    section, first, _ = section
    section.collapsed = True
    section.show()
    assert not first.visible
    section.collapsed = False
    assert first.visible


def test_what_was_hidden_on_purpose_stays_hidden(shown):
    section, first, second = shown
    second.visible = False
    section.collapsed = True
    section.collapsed = False
    assert (first.visible, second.visible) == (True, False)


def test_what_is_shown_while_it_is_folded_appears_when_it_unfolds(shown):
    section, first, _ = shown
    first.visible = False
    section.collapsed = True
    first.visible = True
    assert not first.visible
    section.collapsed = False
    assert first.visible


def test_what_is_hidden_while_it_is_folded_stays_hidden_when_it_unfolds(shown):
    section, first, second = shown
    section.collapsed = True
    first.visible = False
    section.collapsed = False
    assert (first.visible, second.visible) == (False, True)


def test_what_is_added_while_it_is_folded_waits(shown):
    section, *_ = shown
    section.collapsed = True
    late = qt.QLabel("late")
    section.layout().addWidget(late)
    host.pump()
    assert not late.visible
    section.collapsed = False
    host.pump()
    assert late.visible


def test_hiding_the_section_and_showing_it_again_changes_nothing(shown):
    section, first, second = shown
    second.visible = False
    section.visible = False
    section.visible = True
    assert (first.visible, second.visible) == (True, False)


def test_a_button_tells_of_its_contents(empty):
    button = ctk.ctkCollapsibleButton("Section")
    seen = []
    button.connect("contentsCollapsed(bool)", seen.append)
    button.collapsed = True
    button.collapsed = True
    button.setChecked(True)  # checked is unfolded
    assert seen == [True, False]
    assert button.collapsedHeight == 14
