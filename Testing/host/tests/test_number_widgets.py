"""Facts of CTK's sliders, spin boxes and range widgets, as CTK's own classes were seen to behave."""

import pytest

pytest.importorskip("slicer", reason="needs slicer-core")
pytest.importorskip("PySide6", reason="needs PySide6-Essentials")

import ctk
import qt
from PySide6.QtWidgets import QSlider

import host


def reported(widget, *signals):
    seen = []
    for signal in signals:
        widget.connect(signal, seen.append)
    return seen


def test_a_spin_box_keeps_what_it_shows_rounded(empty):
    spin = ctk.ctkDoubleSpinBox()
    seen = reported(spin, "valueChanged(double)", "valueChanged(QString)")
    spin.suffix = " mm"
    spin.value = 7.125
    assert seen == [7.125, "7.13"]  # and the text is the number alone
    assert spin.value == 7.125
    spin.maximum = 5.125
    assert (spin.maximum, spin.value, seen[-2:]) == (5.125, 5.125, [5.125, "5.13"])


def test_the_number_of_decimals_is_reported_once_and_changes_no_value(empty):
    spin = ctk.ctkDoubleSpinBox()
    spin.value = 7.125
    seen = reported(spin, "valueChanged(double)", "decimalsChanged(int)")
    spin.decimals = 1
    spin.decimals = 1
    assert (spin.value, seen) == (7.125, [1])


def test_what_is_stepped_and_typed_is_what_is_shown(empty):
    spin = ctk.ctkDoubleSpinBox()
    spin.value = 7.125
    spin.stepUp()
    assert spin.value == 8.13
    assert spin.maximum == 99.99


def test_a_slider_goes_in_whole_steps_from_the_value_that_was_set(empty):
    slider = ctk.ctkDoubleSlider()
    slider.singleStep = 2
    slider.value = 7.5
    slider.findChild(QSlider).setValue(slider.findChild(QSlider).value + 1)
    assert slider.value == 9.5
    slider.singleStep = 1000  # more than there is room for
    assert slider.singleStep == 2


def test_slider_and_spin_box_keep_one_value_within_bounds(empty):
    slider = ctk.ctkSliderWidget()
    slider.minimum, slider.maximum, slider.singleStep, slider.decimals = -10, 10, 0.5, 1
    seen = reported(slider, "valueChanged(double)")
    slider.value = 3.25
    slider.setValue(3.25)
    slider.value = 99
    assert seen == [3.25, 10]
    slider.findChild(qt.QDoubleSpinBox).value = -2.5
    assert slider.value == -2.5
    slider.minimum = 0
    assert (slider.value, seen[-1]) == (0, 0)


def test_a_slider_widget_tells_its_value_again_with_another_number_of_decimals(empty):
    slider = ctk.ctkSliderWidget()
    slider.value = 5
    seen = reported(slider, "valueChanged(double)", "decimalsChanged(int)")
    slider.decimals = 0
    assert seen == [5, 0, 5, 0]


def test_without_tracking_a_drag_is_reported_when_it_ends(empty):
    slider = ctk.ctkSliderWidget()
    slider.tracking = False
    changed, moving = reported(slider, "valueChanged(double)"), reported(slider, "valueIsChanging(double)")
    handle = slider.findChild(QSlider)
    handle.setSliderDown(True)
    handle.setSliderPosition(3)
    handle.setSliderPosition(4)
    assert (slider.value, changed, moving) == (0, [], [3, 4])
    handle.setSliderDown(False)
    assert (slider.value, changed) == (4, [4])


def test_with_tracking_nothing_is_only_about_to_change(empty):
    slider = ctk.ctkSliderWidget()
    changed, moving = reported(slider, "valueChanged(double)"), reported(slider, "valueIsChanging(double)")
    slider.value = 3
    assert (changed, moving) == ([3], [])


def test_a_range_widget_orders_clamps_and_lets_no_end_pass_the_other(empty):
    widget = ctk.ctkRangeWidget()
    widget.setRange(0, 10)
    seen = []
    widget.connect("valuesChanged(double,double)", lambda low, high: seen.append((low, high)))
    widget.setValues(8, 2)
    widget.minimumValue = -5
    widget.maximumValue = 50
    widget.maximumValue = 4
    widget.minimumValue = 7
    assert seen == [(2, 8), (0, 8), (0, 10), (0, 4), (4, 4)]
    assert not hasattr(widget, "pageStep")  # the real one has none either


def test_the_ends_of_a_range_slider_take_each_other_along(empty):
    slider = ctk.ctkDoubleRangeSlider()
    slider.setRange(0, 10)
    order = []
    slider.connect("valuesChanged(double,double)", lambda low, high: order.append((low, high)))
    slider.connect("minimumValueChanged(double)", order.append)
    slider.connect("maximumValueChanged(double)", order.append)
    slider.setMaximumValue(4)
    slider.setMinimumValue(7)
    assert order == [(0, 4), 4, (7, 7), 7, 7]


def test_the_limits_of_a_range_widget_are_reported_where_both_are_set(empty):
    widget = ctk.ctkRangeWidget()
    seen = []
    widget.connect("rangeChanged(double,double)", lambda low, high: seen.append((low, high)))
    widget.minimum = 3
    widget.maximum = 50
    widget.setRange(20, 10)
    assert seen == [(10, 20)]


def test_a_combo_box_shows_its_default_text_and_chooses_the_first_entry_all_the_same(empty):
    combo = ctk.ctkComboBox()
    combo.defaultText = "Select one"
    assert combo.placeholderText == ""
    combo.addItem("first")
    assert combo.currentText == "first"
    host.pump()
