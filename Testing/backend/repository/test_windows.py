"""Tests of files, cache, library, jobs and worker once more, with a stand-in for Windows under them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the stand-in looks into /proc")
TESTING = Path(__file__).resolve().parents[2]
# What runs under the stand-in in one pytest: file -> tests of it that are left out, and why.
ONLY_LINUX = "only Linux tells when a process began"
NO_FILES = "touches no file or process in a way of its own"
GROUPS = {
    "files": {
        "windows/test_on_windows.py": {},
        "backend/runtime/test_files.py": {},
        "backend/runtime/test_file_set.py": {},
        "backend/runtime/test_scratch.py": {"test_folders_of_another_user_stay": "users have no numbers there"},
        "backend/modelfile/test_library.py": {},
        "backend/modelfile/test_library_folder.py": {},
        "backend/modelfile/test_library_adopt.py": {},
        "backend/data/test_cache.py": {"test_one_flipped_bit_is_noticed": NO_FILES},
        "backend/data/test_cache_folder.py": {
            "test_a_training_with_its_cache_among_scans_removes_none_of_them": NO_FILES,
            "test_the_limit_is_a_setting_of_the_command_line_and_of_a_file": NO_FILES},
        "backend/runs/test_overwrite.py": {
            "test_a_new_run_that_fails_before_its_first_checkpoint_leaves_the_old_one[Loop.run": NO_FILES,
            "test_a_new_run_that_fails_before_its_first_checkpoint_leaves_the_old_one[make_plan": NO_FILES,
            "test_a_new_run_that_fails_before_its_first_checkpoint_leaves_the_old_one[_task": NO_FILES},
    },
    "processes": {
        "backend/cohort/test_segment_many.py": {
            "test_results_of_another_kind_are_not_mixed_or_replaced_unasked": NO_FILES},
        "backend/runs/test_jobs.py": {
            "test_a_number_that_another_process_has_now_is_not_taken_for_the_job": ONLY_LINUX,
            "test_without_locks_a_job_is_known_by_its_number_and_start": ONLY_LINUX,
            "test_a_failure_is_reported": NO_FILES,
            "test_the_learning_rate_is_that_of_the_settings_in_the_folder": NO_FILES},
        "backend/runs/test_jobs_start.py": {
            "test_of_two_starts_before_the_first_child_has_its_lock_the_last_one_counts": "a log keeps the second out"},
        "backend/runs/test_jobs_foreign.py": {},
        "backend/worker/test_worker.py": {
            "test_the_log_of_the_client_before_is_kept": "a log that is written to keeps its name"},
    },
}


@pytest.mark.parametrize("name", GROUPS)
def test_under_the_stand_in(name, tmp_path):
    files = GROUPS[name]
    left_out = [word for file, tests in files.items() for test in tests
                for word in ("--deselect", f"Testing/{file}::{test}")]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "windows.plugin", "-p", "no:cacheprovider", "-p", "no:xdist",
         f"--basetemp={tmp_path / 'runs'}", *(f"Testing/{file}" for file in files), *left_out],
        cwd=TESTING.parent, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout[-6000:]}\n{done.stderr[-2000:]}"
    assert " passed" in done.stdout


@pytest.mark.parametrize("file", [file for files in GROUPS.values() for file in files])
def test_what_is_left_out_is_there(file):
    """A test that was renamed would be run again, without a word."""
    text = (TESTING / file).read_text(encoding="utf-8")
    (left_out,) = [files[file] for files in GROUPS.values() if file in files]
    assert [test for test in left_out if f"def {test.partition('[')[0]}(" not in text] == []
