"""Fixtures shared by the backend's tests."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from kaf.imaging.volume import Volume

SHARED_DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of optional real volumes beside the project; skips where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the optional real volumes (../shared/data) are not here")
    return SHARED_DATA


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    """A tiny model with random weights."""
    from made_models import tiny_model

    return tiny_model(tmp_path_factory.mktemp("model") / "tiny.safetensors")


@pytest.fixture(scope="module")
def scan() -> Volume:
    """A synthetic heart of five slices."""
    from kaf.phantom.heart import cardiac_phantom

    return cardiac_phantom(3, slices=5, size=64, spacing=2.5)[0]


@pytest.fixture(scope="module")
def cache() -> dict:
    """What a verb keeps between the calls of one test file."""
    return {}


@pytest.fixture
def small_pictures(monkeypatch):
    """A report's pictures take longer to draw than all the rest of it; most tests do not look at them."""
    monkeypatch.setattr("kaf.evaluation.pictures._SIDE", 120)


@pytest.fixture
def folders(tmp_path, small_pictures) -> tuple[Path, Path, Path]:
    """Predictions, references and where an evaluation may be written.

    One case is perfect; in the other label 1 is moved by 3 columns and label 2 is missed.
    """
    from evaluation_toys import VENTRICLES, boxes, volume

    from kaf.imaging.write import write_labels

    prediction, reference = tmp_path / "predicted", tmp_path / "drawn"
    prediction.mkdir()
    reference.mkdir()
    for name, predicted in (("case2", boxes()), ("case10", boxes(second=False, moved=3))):
        write_labels(prediction / f"{name}.seg.nrrd", volume(predicted), VENTRICLES)
        write_labels(reference / f"{name}_gt.nii.gz", volume(boxes()), VENTRICLES)
    return prediction, reference, tmp_path / "out"
