"""Actions of a person in the panel of KAFPretrain; folders of phantoms in several layouts; settings of short runs."""

import json
from contextlib import suppress
from pathlib import Path

import psutil
import qt
from segmentation_panel import ReadySetup

import host
from kaf.runs import start as jobs

MODULE = Path(__file__).resolve().parents[2] / "KAFPretrain"
NETWORK = {"width": 4, "decoder_width": 8, "blocks": 1, "token_width": 8, "heads": 2, "diffusion_width": 4}
COMMON = {"threads": 1, "precision": "fp32", "patch": 32, "batch": 2, "keypoints": {"limit": 24}, "checkpoint_every": 1}
LAYOUTS = ("images and labels", "beside", "one folder per case")


def heart(seed):
    """A small scan and its labels."""
    from kaf.phantom.heart import cardiac_phantom

    return cardiac_phantom(seed, slices=4, size=48, spacing=4.0)


def write_volume(volume, path):
    """A scan or label map of the backend as a file."""
    from kaf.imaging.write import write_labels, write_map

    path.parent.mkdir(parents=True, exist_ok=True)
    if volume.voxels.dtype.kind == "u" and volume.voxels.max() < 10:
        write_labels(path, volume, ())
    else:
        write_map(path, volume)


def write_hearts(folder, layout=LAYOUTS[0], cases=6, labelled=4):
    """A folder of synthetic hearts in one of the common layouts."""
    for index in range(cases):
        scan, labels = heart(index)
        name = f"p{index:02d}"
        image, label = {
            LAYOUTS[0]: (f"images/{name}.nii.gz", f"labels/{name}.nii.gz"),
            LAYOUTS[1]: (f"{name}.nii.gz", f"{name}_gt.nii.gz"),
            LAYOUTS[2]: (f"{name}/mr.nii.gz", f"{name}/mr_seg.nii.gz")}[layout]
        write_volume(scan, folder / image)
        if index < labelled:
            write_volume(labels, folder / label)
    return folder


def settings_file(folder, **values):
    """A file for "More settings" that makes a run take seconds."""
    path = Path(folder) / "more.json"
    path.write_text(json.dumps({**COMMON, "cache": str(Path(folder) / "cache"), **values}), encoding="utf-8")
    return str(path)


def tiny_pretraining(folder, **values):
    heads = {"kaf": {"width": 8, "token_width": 8, "radius": 12.0, "sinkhorn": 5}}
    return settings_file(folder, **{"network": NETWORK, "steps": 20, **heads, **values})


def open_panel(runs, setup=ReadySetup, devices=False):
    """The module, open, with this folder of runs; with ``devices`` it asks a process for those of this computer."""
    qt.QSettings().setValue("KAFPretrain/RunsFolder", str(runs))
    module = host.load_module(MODULE / "KAFPretrain.py")
    module.source.KAFPretrainWidget.makeSetup = setup
    if not devices:
        from KAFPretrainLib.PretrainWidget import PretrainWidget

        PretrainWidget._findDevices = lambda widget: None  # until the module is unloaded
    module.show(520, 1000)
    settle(module)
    host.pump(50)
    return module


def settle(module):
    """Waits until the panel knows where its paths lead and which runs there are."""
    panel = module.widget.pretraining
    panel.data.settle()
    host.wait_until(lambda: not panel.data.isCheckingPath and not panel.jobs.isSearching,
                    "the path and the runs to be known")
    host.pump(20)


def choose_folder(module, folder):
    """Puts a folder of scans into its field, and waits until the panel knows it."""
    module.ui.dataPath.setCurrentPath(str(folder))
    settle(module)


def scan_folder(module, folder):
    """Chooses a folder, presses the button, waits."""
    part = module.widget.pretraining.data
    module.ui.tabs.setCurrentIndex(0)
    choose_folder(module, folder)
    host.click(module.ui.scanButton)
    host.wait_until(lambda: not part.isScanning, "the scan of the folder", progress=cpu_time)
    host.pump(20)


def start_pretraining(module, more, name="first"):
    """Fills in the tab and presses Start; returns the view of the run."""
    ui = module.ui
    ui.tabs.setCurrentWidget(ui.pretrainTab)
    ui.pretrainSettingsSection.collapsed = False
    host.choose(ui.presetComboBox, "none: the settings of this panel only")
    host.type_text(ui.pretrainNameLineEdit, name)
    ui.pretrainFilePath.setCurrentPath(more)
    host.pump(20)
    host.click(ui.pretrainStartButton)
    return module.widget.pretraining.pretraining.run


def start_finetuning(module, more, name="model"):
    """Fills in the tab and presses Start; returns the view of the run."""
    ui = module.ui
    ui.tabs.setCurrentWidget(ui.finetuneTab)
    ui.finetuneSettingsSection.collapsed = False
    host.type_text(ui.finetuneNameLineEdit, name)
    ui.finetuneFilePath.setCurrentPath(more)
    host.pump(20)
    host.click(ui.finetuneStartButton)
    return module.widget.pretraining.finetuning.run


def cpu_time():
    """Seconds that the processes of this one have computed: a sign of life of runs on a busy computer."""
    seconds = 0.0
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            times = child.cpu_times()
            seconds += times.user + times.system
    return round(seconds)


def last_log_lines(job):
    """The state of a run and the end of its log."""
    log = job.log.read_text(encoding="utf-8", errors="replace") if job is not None and job.log.is_file() else ""
    return "\n".join([f"state: {job and job.state()} {job and job.error}", *log.splitlines()[-15:]])


def wait_for_end(view, timeout=host.PATIENCE):
    """Waits until the run has ended and the panel knows; returns its state."""
    host.wait_until(lambda: view.job is not None and view._state not in ("", *jobs.ALIVE), "the end of a run", timeout,
                    lambda: f"{host.seen()}\n{last_log_lines(view.job)}", cpu_time)
    host.wait_until(lambda: not view._runs.isSearching, "the search for runs")
    host.pump(20)
    return view._state


def wait_for_steps(view, count=1):
    """Waits until so many reports of a run have arrived."""
    host.wait_until(lambda: len(view.summary.recent) >= count or view._state == jobs.FAILED, "some steps",
                    progress=cpu_time)
    assert view._state != jobs.FAILED, view.job.error


def steps_in(view):
    """The steps of the loss curve, as the table in the scene has them."""
    chart = view._curves.chart("loss")
    table = chart.GetNthPlotSeriesNode(0).GetTableNode().GetTable()
    column = table.GetColumnByName("step")
    return [column.GetValue(row) for row in range(column.GetNumberOfTuples())]


def with_split(module, folder, test=25, validation=25):
    """Looks into a folder and draws a split with these shares in percent."""
    scan_folder(module, folder)
    module.ui.testShareSpinBox.value, module.ui.validationShareSpinBox.value = test, validation
    host.pump(50)


def wait_for_library(module, name):
    """Waits until a model is listed in the tab Models: a process adds it, which loads torch to check it."""
    host.wait_until(lambda: name in [entry.name for entry in module.widget.pretraining.models._entries],
                    "the model in the library", progress=cpu_time)
    settle(module)


def make_runs(folder, hearts):
    """A folder of runs with pretrained weights, and a model that was fine-tuned from them, made without the panel; the
    weights have seen all but p00, the model was trained on p02 and p03."""
    python, runs = ReadySetup().python(), folder / "runs"
    common = json.loads(Path(tiny_pretraining(folder)).read_text(encoding="utf-8"))
    weights = jobs.start(python, "pretrain", {**common, "data": str(hearts), "device": "cpu", "method": "kaf",
                                              "leave_out": ["p00"]}, runs / "weights")
    _finish(weights)
    more = json.loads(Path(settings_file(folder, steps=20, validate_every=0.5)).read_text(encoding="utf-8"))
    model = jobs.start(python, "finetune", {
        **more, "data": str(hearts), "device": "cpu", "name": "tuned", "init_from": str(weights.model),
        "leave_out": ["p00"], "validation_cases": ["p01"]}, runs / "tuned")
    _finish(model)
    approve(model.model)
    return runs


def approve(path):
    """Writes onto a model's card that it has passed its check, which a run of some seconds does not."""
    from dataclasses import replace

    from kaf.modelfile.card import copy_with_card, read_card
    from kaf.modelfile.verdict import Verdict

    card = read_card(path)
    card = replace(card, metrics={**card.metrics, "verdict": Verdict("passed", 9.0, 1, 0.8, 0.3).to_dict()})
    card = replace(card, card_digest=card.digest_of_words())
    copy_with_card(path, path.with_suffix(".new"), card)
    path.with_suffix(".new").replace(path)


def _finish(job):
    host.wait_until(lambda: job.state() not in jobs.ALIVE, "the end of a run",
                    describe=lambda: last_log_lines(job), progress=cpu_time)
    assert job.state() == jobs.FINISHED, job.error
