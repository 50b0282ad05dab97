"""The campaign by hand: ``make campaign``, or

    PYTHONPATH=Testing:Testing/helpers .venv/bin/python -m campaigns --seed 7 --parts kills "bit flips" --most 50

Prints every fault as it is found and a table in the end, writes Docs/reliability.md after a whole campaign, and ends
with 1 where anything was wrong or unclear.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import sys
import tempfile
import time
from pathlib import Path
from random import Random

from campaigns.apart import preload, private_home

ROOT = Path(__file__).resolve().parents[2]


def main() -> int:
    options = _options()
    preload()  # before anything is forked
    from campaigns.page import table
    from campaigns.runner import is_clean, play_all

    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT / "Testing"), str(ROOT / "Testing" / "helpers")])
    started = time.monotonic()
    rows = []
    folder = Path(tempfile.mkdtemp(prefix="kaf-campaign-"))
    try:
        private_home(folder / "home")
        os.chdir(folder)
        material = _material(folder)
        for name, tries in _chosen(options, material):
            rows += play_all(name, tries, folder, options.seed, options.jobs, _tell)
    finally:
        os.chdir(ROOT)
        shutil.rmtree(folder, ignore_errors=True)
    print("\n".join(table(rows)))
    if options.json:
        options.json.write_text(json.dumps([vars(row) for row in rows], indent=1) + "\n")
    if not options.most and set(options.parts) == set(_names()) and not options.only:
        _write_page(rows, options, (time.monotonic() - started) / 60)
    return 0 if is_clean(rows) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m campaigns", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=_names(), default=_names(), metavar="PART",
                        help=f"which of {', '.join(_names())}; default: all")
    parser.add_argument("--most", type=int, default=0, metavar="N",
                        help="at most so many tries of each part, drawn by the seed over all groups; default: all")
    parser.add_argument("--only", default="", metavar="WORDS", help="only tries with these words in group or name")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="tries at a time; default: 2")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the counts and faults to a file")
    options = parser.parse_args()
    if options.json:
        options.json = options.json.resolve()
    return options


def _names() -> list[str]:
    return ["kills", "geometries", "bad input", "bit flips"]


def _material(folder: Path):
    from campaigns.material import make_material

    return make_material(folder / "material")


def _chosen(options: argparse.Namespace, material):
    """The parts with the tries that were asked for."""
    from campaigns.parts import PARTS

    for name in options.parts:
        tries = [one for one in PARTS[name].tries(material) if options.only in f"{one.group}, {one.name}"]
        if options.most and len(tries) > options.most:
            tries = sample(tries, options.most, Random(f"{options.seed}/{name}"))
        yield name, tries


def sample(tries, most: int, random: Random):
    """Some of the tries, taken from the groups in turn, so that none is left out while there is room."""
    groups: dict[str, list] = {}
    for one in tries:
        groups.setdefault(one.group, []).append(one)
    for members in groups.values():
        random.shuffle(members)
    found = []
    while len(found) < most:
        for members in groups.values():
            if members and len(found) < most:
                found.append(members.pop())
    return sorted(found, key=tries.index)


def _tell(words: str) -> None:
    print(words.encode("unicode_escape").decode() if any(ord(letter) < 32 for letter in words) else words, flush=True)


def _write_page(rows, options: argparse.Namespace, minutes: float) -> None:
    from campaigns.page import Facts, page
    from kaf import __version__

    command = "make campaign" + (f' ARGS="--seed {options.seed}"' if options.seed != 1 else "")
    machine = f"Linux {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    facts = Facts(options.seed, time.strftime("%Y-%m-%d"), __version__, command, minutes, machine)
    (ROOT / "Docs" / "reliability.md").write_text(page(rows, facts), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
