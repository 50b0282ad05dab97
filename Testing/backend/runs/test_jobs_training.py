"""A real pretraining as a job: stopped and gone on with, it ends with a model."""

from __future__ import annotations

import sys

from jobs_toys import until
from pretrain_toys import small_pretraining
from small_models import write_phantoms

from kaf.modelfile.card import read_card
from kaf.runs import start as jobs
from kaf.runtime.events import Message, Metric, Result
from kaf.runtime.message_codes import RESUMED


def test_a_pretraining_is_stopped_and_gone_on_with(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    settings = small_pretraining(tmp_path, write_phantoms(tmp_path / "scans"), method="simclr", epochs=40)
    values = settings.model_dump(mode="json", exclude_unset=True)
    job = jobs.start(sys.executable, "pretrain", values, tmp_path / "run", queue="cpu")
    try:
        until(lambda: any(isinstance(event, Metric) for event in job.events()[0]) or job.state() not in jobs.ALIVE, 240)
        assert job.state() == jobs.RUNNING, job.error
        job.stop()
        until(lambda: job.state() not in jobs.ALIVE, 240)
        assert (job.state(), job.error) == (jobs.STOPPED, "")
        kept, = (tmp_path / "run" / "checkpoints").glob("checkpoint-*.safetensors")
        assert not (tmp_path / "run" / "model.safetensors").exists()
        job = jobs.find(tmp_path)[0].resume()
        until(lambda: job.state() not in jobs.ALIVE, 240)
        assert (job.state(), job.error) == (jobs.FINISHED, ""), job.log.read_text()
        reported = job.events()[0]
        assert [event.data for event in reported if isinstance(event, Message) and event.code == RESUMED] == [
            {"step": int(kept.stem[-8:])}]
        assert isinstance(reported[-1], Result)
        assert job.model is not None
        assert read_card(job.model).name == "tiny"
        assert job.progress().done == 1
    finally:
        job.kill()
