"""Tests of files, cache, library, jobs and worker once more, with a stand-in for Windows under them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the stand-in looks into /proc")
TESTING = Path(__file__).resolve().parents[2]
# File -> tests of it that are about another system, and why.
FILES = {
    "windows/test_on_windows.py": {},
    "backend/runtime/test_files.py": {},
    "backend/runtime/test_file_set.py": {},
    "backend/runs/test_overwrite.py": {},
    "backend/data/test_cache.py": {},
    "backend/data/test_cache_folder.py": {},
    "backend/modelfile/test_library.py": {},
    "backend/modelfile/test_library_folder.py": {},
    "backend/modelfile/test_library_adopt.py": {},
    "backend/runtime/test_scratch.py": {"test_folders_of_another_user_stay": "users have no numbers there"},
    "backend/cohort/test_segment_many.py": {},
    "backend/runs/test_jobs.py": {
        "test_a_number_that_another_process_has_now_is_not_taken_for_the_job": "only Linux tells when one began",
        "test_without_locks_a_job_is_known_by_its_number_and_start": "only Linux tells when one began",
        "test_of_two_starts_before_the_first_child_has_its_lock_the_last_one_counts": "its log keeps the second out"},
    "backend/runs/test_jobs_foreign.py": {},
    "backend/worker/test_worker.py": {
        "test_the_log_of_the_client_before_is_kept": "a log that is written to keeps its name"},
}


@pytest.mark.parametrize("name", FILES)
def test_under_the_stand_in(name, tmp_path):
    left_out = [word for test in FILES[name] for word in ("--deselect", f"Testing/{name}::{test}")]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "windows.plugin", "-p", "no:cacheprovider", "-p", "no:xdist",
         f"--basetemp={tmp_path / 'runs'}", f"Testing/{name}", *left_out],
        cwd=TESTING.parent, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout[-6000:]}\n{done.stderr[-2000:]}"
    assert " passed" in done.stdout
