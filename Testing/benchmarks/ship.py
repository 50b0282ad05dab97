"""Put a finished run into the package, with its cross-validated figures on the card.

    .venv/bin/python Testing/benchmarks/ship.py runs/cardiac runs/cv-cardiac/cross-validation.json

Writes KAFSegmentation/kaf/models/<name>.safetensors (weights as float16).
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import kaf
from kaf.imaging.labels import Label
from kaf.modelfile.model import load_model, save_model

LIMIT = 8 * 1024 * 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("validation", type=Path)
    parser.add_argument("--flips", type=Path, help="the cross-validation averaged over mirrored copies")
    parser.add_argument("--recipe", type=Path, help="take the words of the labels from this recipe")
    arguments = parser.parse_args()
    network, card = load_model(arguments.run / "model.safetensors")
    measured = {"cross-validation": arguments.validation, "cross-validation with flips": arguments.flips}
    figures = {name: {k: v for k, v in json.loads(path.read_text()).items() if k != "rows"}
               for name, path in measured.items() if path}
    labels = card.labels
    if arguments.recipe:
        recipe = json.loads(arguments.recipe.read_text())
        labels = tuple(Label(label.value, recipe["labels"][str(label.value)], label.colour,
                             recipe.get("terminology", {}).get(str(label.value), "")) for label in labels)
    card = replace(card, labels=labels, metrics={**card.metrics, **figures})
    target = Path(kaf.__file__).parent / "models" / f"{card.name}.safetensors"
    target.parent.mkdir(exist_ok=True)
    card = save_model(target, network, card, half=True, overwrite=True)
    size = target.stat().st_size
    print(f"{target}: {size / 1e6:.2f} MB, digest {card.digest}")
    if size > LIMIT:
        raise SystemExit(f"larger than {LIMIT / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
