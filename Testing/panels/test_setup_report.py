"""The report of set-up for a maintainer: all that is asked for, nothing of the user."""

import hashlib
from types import SimpleNamespace

import pytest

pytest.importorskip("slicer", reason="needs slicer-core")
pytest.importorskip("PySide6", reason="needs PySide6-Essentials")

from setup_fakes import Bench, allGood

pytestmark = pytest.mark.usefixtures("quietHost")


def test_the_report_has_what_a_maintainer_asks_for(tmp_path, monkeypatch):
    from KAFSegmentationLib.backend import Models

    path = tmp_path / "mine.safetensors"
    path.write_bytes(b"weights")
    entry = SimpleNamespace(name="mine", path=path, card=SimpleNamespace(version="1.2"))
    monkeypatch.setattr(Models, "listModels", lambda: [entry])
    findings = allGood()
    findings.errors["monai"] = "ImportError: libfoo is missing"
    del findings.versions["monai"]
    made = Bench(tmp_path, findings=lambda path: findings)
    text = made.setup.diagnose()
    for said in (
        "Slicer: 5.12, revision", "Slicer's Python: 3.", "torch 2.8.0+cpu", "torch's device: cpu",
        "monai cannot be imported: ImportError: libfoo is missing", "opencv-python-headless 4.12.0.88",
        "NVIDIA: ", "GB free", "State: monai",
        "mine 1.2", f"SHA-256 {hashlib.sha256(b'weights').hexdigest()}",
    ):
        assert said in text, said
    assert not made.dialogs.busyNow


def test_the_report_does_not_tell_who_the_user_is(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    made = Bench(tmp_path / "site-packages")
    assert str(tmp_path) not in made.setup.diagnose()
