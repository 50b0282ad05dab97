"""The examples of Docs/python.md run as they stand."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def test_the_examples_run_one_after_the_other(tmp_path):
    page = (ROOT / "Docs" / "python.md").read_text(encoding="utf-8")
    examples = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len(examples) == 3
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "KAFSegmentation"), "XDG_CACHE_HOME": str(tmp_path / "cache"),
                   "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", "\n".join(examples)], cwd=tmp_path, env=environment,
                          capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr
    assert "uint8" in done.stdout
    assert (tmp_path / "runs" / "first" / "report.html").is_file()
    assert (tmp_path / "evaluation" / "evaluation.csv").is_file()
    assert 0 <= float(done.stdout.splitlines()[-1]) <= 1
