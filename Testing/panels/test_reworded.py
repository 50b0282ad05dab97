"""No sentence is a protocol: with every sentence of the backend in other words, the panels decide as before.

The tests below run once more, in a process of their own, in which (and in the workers and jobs of which) all that the
backend says is in capitals: see ``helpers/reworded.py``.
"""

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("slicer", reason="needs slicer-core")
pytest.importorskip("PySide6", reason="needs PySide6-Essentials")

from reworded import environment, is_reworded

ROOT = Path(__file__).resolve().parents[2]
TESTS = (
    "panels/test_pretrain_settings.py",  # monitors, run summaries, status of a run
    "panels/test_pretrain_trouble.py::test_a_run_that_diverges_says_so_and_what_to_do",
    "panels/test_pretrain_data.py::test_a_folder_without_scans[documents]",
    "panels/test_setup.py::test_a_folder_of_wheels_does_it_without_the_network_and_brings_models",
    "panels/test_setup.py::test_a_damaged_model_in_the_folder_is_named",
    "panels/test_adapt_panel.py::test_progress_tells_the_time_left",
    "panels/test_segmentation_faults.py::test_a_tampered_model",
    "backend/runs/test_jobs_foreign.py::test_a_comparison_is_one_run",
    "backend/runs/test_jobs_foreign.py::test_of_a_comparison_of_an_older_version_the_networks_are_counted",
)
WORDS = """
from kaf.runtime.errors import InputError
from kaf.runtime.events import Error, Message, Progress, from_json, to_json
print(InputError("a.nii", "is empty", "Get it."), Message("text", code="a").text, Progress("stage", 1, 2).stage,
      from_json(to_json(Error.of(InputError("a", "is empty", "Get it.")))).text)
"""


def test_every_sentence_is_reworded_in_such_a_process():
    done = subprocess.run([sys.executable, "-c", WORDS], env=environment(), capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "A.NII: IS EMPTY. GET IT. TEXT STAGE a: IS EMPTY. GET IT."


@pytest.mark.skipif(is_reworded(), reason="is that process")
def test_the_panels_decide_as_before_when_every_sentence_of_the_backend_is_reworded():
    done = subprocess.run([sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-n", "0", "--tb=short",
                           *(f"Testing/{name}" for name in TESTS)], env=environment(), cwd=ROOT, capture_output=True,
                          text=True)
    assert done.returncode == 0, done.stdout[-6000:]
    assert "passed" in done.stdout
    assert "skipped" not in done.stdout
