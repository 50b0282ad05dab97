"""What a run will take is reported before it, and that memory is short, on every system."""

import importlib

import pytest

pytest.importorskip("slicer", reason="needs slicer-core")
pytest.importorskip("PySide6", reason="needs PySide6-Essentials")

pytestmark = pytest.mark.usefixtures("quietHost")
GIGABYTE = 1e9


@pytest.mark.parametrize(("free", "short"), [(2 * GIGABYTE, True), (64 * GIGABYTE, False), (None, False)])
def test_memory_that_is_short_is_reported_where_the_system_tells(monkeypatch, free, short):
    module = importlib.import_module("KAFSegmentationLib.segment.Forecast")  # Reload replaces it
    monkeypatch.setattr(module, "free_memory", lambda: free)
    text = module.Forecast(pixels=1, seconds=60.0, memory=5 * GIGABYTE, device="cpu", known=True).text()
    assert "5.0 GB of memory" in text
    assert ("Only 2.0 GB of memory is free" in text) == short
    on_gpu = module.Forecast(pixels=1, seconds=60.0, memory=5 * GIGABYTE, device="cuda", known=True).text()
    assert "is free" not in on_gpu
