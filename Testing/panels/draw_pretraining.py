"""Draws the pictures of Docs/tutorial-pretraining.md: the KAFPretrain panel on the test host, with synthetic hearts.

    .venv/bin/python Testing/panels/draw_pretraining.py [--minutes 3]

Everything in them was computed just then: pretraining, fine-tuning with and without it, and the evaluation; each
takes as long as ``--minutes`` says. A small network is used, so that a busy CPU gets somewhere.
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

TESTING = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTING), str(TESTING / "panels"), str(TESTING.parent / "KAFSegmentation")]

import host  # noqa: E402

host.start()

from kept_picture import keep_picture  # noqa: E402
from pretrain_panel import open_panel, scan_folder, wait_for_end  # noqa: E402

from kaf.runs import start as jobs  # noqa: E402

ROOT = TESTING.parent
PICTURES = ROOT / "Docs" / "tutorial-pretraining"
WIDTH, HEIGHT = 1180, 800
SMALL = {"network": {"width": 8, "decoder_width": 16, "blocks": 2, "token_width": 32, "heads": 2, "diffusion_width": 8},
         "patch": 48, "batch": 4, "keypoints": {"limit": 32}, "checkpoint_every": 30, "precision": "fp32",
         "threads": 1}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=3.0, help="the budget of each run")
    minutes = parser.parse_args().minutes
    home = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)  # so that no path of this computer is in the pictures
        for name in ("XDG_DATA_HOME", "XDG_STATE_HOME"):  # not the user's library, and no waiting for their runs
            os.environ[name] = str(Path(folder) / "home")
        draw(Path(), minutes)
        os.chdir(home)


def draw(folder: Path, minutes: float) -> None:
    from kaf.data.example import make_example

    hearts = make_example(folder / "hearts")
    for verb, own in (("pretrain", {}), ("finetune", {"validate_every": 12})):
        (folder / f"{verb}.json").write_text(json.dumps({**SMALL, **own}))
    module = open_panel(folder / "runs", devices=True)
    panel, ui = module.widget.pretraining, module.ui
    scan_folder(module, hearts)
    take(module, "data")
    ui.tabs.setCurrentWidget(ui.pretrainTab)
    host.choose(ui.presetComboBox, "kaf-bim-compact")
    ui.pretrainMinutesSpinBox.value = minutes
    ui.pretrainFilePath.setCurrentPath("pretrain.json")
    host.pump(50)
    take(module, "pretrain")
    host.click(ui.pretrainStartButton)
    view = panel.pretraining.run
    host.wait_until(lambda: len(view.summary.recent) > 5 or view._state not in ("", *jobs.ALIVE), "some steps")
    take(module, "running")
    ended(view, minutes)
    take(module, "pretrained")
    ui.tabs.setCurrentWidget(ui.dataTab)
    host.pump(50)
    ui.selectionSection.collapsed = False
    host.pump(50)
    host.choose(ui.selectionModelComboBox, "cardiac-mr-sax")  # a model that segments says which scans puzzle it
    host.click(ui.selectButton)
    host.wait_until(lambda: not panel.selection.isRunning, "the choice of scans", 5 * host.PATIENCE)
    take(module, "selection")
    ui.tabs.setCurrentWidget(ui.finetuneTab)
    ui.finetuneFilePath.setCurrentPath("finetune.json")
    for name, base in (("from-scratch", "random weights"), ("from-pretrained", "run pretrained")):
        ui.finetuneSettingsSection.collapsed = False
        host.pump(50)
        host.choose(ui.baseComboBox, base)
        host.type_text(ui.finetuneNameLineEdit, name)
        ui.fewShotSpinBox.value = 2
        ui.finetuneMinutesSpinBox.value = minutes
        host.pump(50)
        host.click(ui.finetuneStartButton)
        ended(panel.finetuning.run, minutes)
    host.wait_until(lambda: len(panel.models._entries) >= 4, "the models in the library")
    host.choose(ui.finetuneChartComboBox, "Validation Dice")
    take(module, "finetuned")
    ui.tabs.setCurrentWidget(ui.evaluateTab)
    host.choose(ui.evaluateModelComboBox, "run from-pretrained")
    host.choose(ui.evaluateBaselineComboBox, "run from-scratch")
    host.click(ui.evaluateButton)
    host.wait_until(lambda: not panel.evaluation.isRunning, "the evaluation", 5 * host.PATIENCE)
    panel.evaluation._onOpen(next(iter(panel.evaluation._cases)))
    take(host.main_window(module, WIDTH, HEIGHT), "evaluated")
    ui.tabs.setCurrentWidget(ui.modelsTab)
    panel.models.refresh("from-pretrained")
    take(module, "models")
    module.unload()


def ended(view, minutes: float) -> None:
    state = wait_for_end(view, 60 * minutes + 5 * host.PATIENCE)
    if state != jobs.FINISHED:
        raise SystemExit(f"{view.job.folder}: {state}. {view.job.error}")
    host.pump(100)


def take(shown, name: str) -> None:
    keep_picture(shown, PICTURES / f"{name}.png")


if __name__ == "__main__":
    main()
