"""``kaf models calibrate``: lines from a labelled folder, kept beside the model or among the user's files."""

from __future__ import annotations

import json

import pytest
from made_models import HERE, tiny_model

from kaf.cli.entry import main
from kaf.imaging.labels import plain_label
from kaf.imaging.write import write_labels, write_map
from kaf.modelfile.card import read_card
from kaf.phantom.heart import cardiac_phantom
from kaf.quality.store import users_file


def labelled(folder, count: int, only=None):
    folder.mkdir()
    for number in range(count):
        volume, labels = cardiac_phantom(number, slices=3, size=48, spacing=3.2)
        write_map(folder / f"p{number}.nii.gz", volume)
        if only is not None:
            labels.voxels[...] = labels.voxels == only
        write_labels(folder / f"p{number}_gt.nii.gz", labels, [plain_label(n) for n in (1, 2, 3)])
    return folder


def test_a_model_is_calibrated_on_a_labelled_folder(tmp_path, capsys):
    path = tiny_model(tmp_path / "m.safetensors")
    before = path.read_bytes()
    data = labelled(tmp_path / "data", 6)
    assert main(["models", "calibrate", str(path), str(data), *HERE]) == 0
    kept = users_file(read_card(path))
    try:
        quality = json.loads(kept.read_text())["quality"]
        assert quality["lines"]
        assert all(line["patients"] == 6 for line in quality["lines"])
        assert quality["training"]["scans"] == 6
        assert quality["source"] == "6 cases of 6 patients in data"
        assert path.read_bytes() == before
        capsys.readouterr()
        assert main(["models", "show", str(path)]) == 0
        assert "calibrated on 6 cases of 6 patients in data" in capsys.readouterr().out
        assert main(["models", "calibrate", str(path), str(data), *HERE]) == 1, "it is there already"
        assert main(["segment", str(data / "p0.nii.gz"), "--model", str(path), *HERE,
                     "--output", str(tmp_path / "a.nii.gz")]) == 0
        assert "calibrated on 6 cases" in capsys.readouterr().out
    finally:
        kept.unlink()


def test_values_of_another_set_are_matched_and_few_patients_give_no_bound(tmp_path, capsys):
    path = tiny_model(tmp_path / "m.safetensors")
    data = labelled(tmp_path / "data", 3, only=3)
    target = tmp_path / "m.quality.json"
    assert main(["models", "calibrate", str(path), str(data), "--match", "1=3", "--output", str(target),
                 "--training", str(data), "--source", "three hearts", *HERE]) == 0
    done = capsys.readouterr()
    assert "3 patients are too few for a lower bound" in done.err
    quality = json.loads(target.read_text())["quality"]
    assert [line["label"] for line in quality["lines"]] in ([3], [])
    assert quality["source"] == "three hearts"
    assert all(line["margin"] is None for line in quality["lines"])


@pytest.mark.parametrize(("more", "words"), [
    (["--match", "1=9"], "has no structure 9"), (["--match", "7=3"], "has no label that the model segments"),
    (["--training", "nowhere"], "nowhere")])
def test_what_does_not_fit_is_refused(tmp_path, capsys, more, words):
    path = tiny_model(tmp_path / "m.safetensors")
    data = labelled(tmp_path / "data", 1)
    target = tmp_path / "m.quality.json"
    assert main(["models", "calibrate", str(path), str(data), "--output", str(target),
                 "--ignore-missing", *more, *HERE]) == 1
    assert words in capsys.readouterr().err
    assert not target.exists()


def test_a_folder_named_as_the_training_data_is_told(tmp_path, capsys):
    path = tiny_model(tmp_path / "m.safetensors", recipe={"data": "data"})
    data = labelled(tmp_path / "data", 1)
    assert main(["models", "calibrate", str(path), str(data), "--output", str(tmp_path / "q.json"), *HERE]) == 0
    assert "too optimistic" in capsys.readouterr().err
