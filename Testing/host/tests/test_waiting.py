"""A test that waits in vain says what the panel shows, what its log says and what was raised."""

import pytest

pytest.importorskip("slicer", reason="needs slicer-core")
pytest.importorskip("PySide6", reason="needs PySide6-Essentials")

import qt

import host


def vain(**more):
    with pytest.raises(AssertionError) as caught:
        host.wait_until(lambda: False, "the end", timeout=0.0, **more)
    return str(caught.value)


def test_the_value_of_the_condition_is_returned():
    assert host.wait_until(lambda: "now") == "now"


def test_what_the_panel_shows_is_reported(toy):
    toy.ui.messageLabel.text = "The scan is too small."
    toy.ui.logText.setPlainText("\n".join(f"line {number}" for number in range(40)))
    text = vain()
    assert text.endswith(host.seen())
    assert text.startswith("after 0 s still waiting for the end:")
    assert "label 'messageLabel': The scan is too small." in text
    assert "line 39" in text
    assert "line 10" not in text
    toy.leave()
    assert "too small" not in vain()


def test_what_was_asked_and_raised_is_reported(toy):
    def fail():
        raise ValueError("of a slot")

    timer = qt.QTimer()
    timer.setSingleShot(True)
    timer.connect("timeout()", fail)
    timer.start(0)
    host.pump(50)
    qt.QMessageBox.information(None, "Saved", "To the disk.")
    text = vain()
    assert "ValueError: of a slot" in text
    assert "dialog 'Saved': To the disk." in text
    assert len(host.take_errors()) == 1


def test_more_time_is_given_while_the_work_goes_on():
    steps = iter([0, 1, 2, 2])
    done = []

    def look():
        done.append(next(steps))
        return done[-1]

    with pytest.raises(AssertionError, match="still waiting for the end"):
        host.wait_until(lambda: False, "the end", timeout=0.05, progress=look)
    assert done in ([0, 1, 2, 2], [0, 1, 2])  # until it stands still, or the time is over four times
    assert host.wait_until(lambda: len(done) > 4, timeout=0.01, progress=lambda: done.append(0) or len(done))


def test_a_test_may_describe_things_itself():
    assert vain(describe=lambda: "state: queued").endswith("state: queued")
