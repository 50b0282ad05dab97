"""Values of flags that are out of every range."""

from __future__ import annotations

from collections.abc import Iterator

from campaigns.bad import EITHER, REFUSE, bad, nothing
from campaigns.material import HERE, NETWORK, Material
from campaigns.verdicts import Try

QUICK = ("--steps", "1", "--batch", "2", "--patch", "32", *HERE, "--cache", "cache", *NETWORK)
ODD: dict[str, list[tuple[str, tuple[str, ...]]]] = {
    "segment": [("--batch", ("0", "-1", "1e9", "x", "nan", "")), ("--threads", ("-1", "x", "1000000")),
                ("--overlap", ("1", "-0.1", "nan", "inf")), ("--roi", ("1,2,3", "a,b,c,d,e,f", "")),
                ("--precision", ("fp8", "")), ("--device", ("gpu", "cuda:x", "", "cpu;rm")),
                ("--suffix", (".exe",)), ("--largest-component", ("x", "1.5")), ("--frame", ("x", "-1"))],
    "explain": [("--smooth", ("0", "-1", "inf", "nan", "1e308", "1e9")), ("--scale", ("-1", "4", "x")),
                ("--head", ("-1", "99")), ("--direction", ("up",)), ("--combine", ("x",)), ("--top", ("0", "1e9")),
                ("--point", ("1,2", "nan,nan,nan", "inf,0,0", "9999,9999,9999")), ("--slice", ("-1", "999", "x"))],
    "adapt": [("--seconds", ("0", "inf", "nan", "1e9")), ("--slices", ("-1", "99", "x")),
              ("--labels", ("9=x", "x=y", "-1=a", "300=a", "0=background", "1=", "{", "1")),
              ("--learning-rate", ("0", "nan", "inf", "-1")), ("--patch", ("1", "1e9")), ("--seed", ("-1", "1e30")),
              ("--name", ("x" * 200,))],
    "finetune": [("--epochs", ("0", "inf", "nan", "-1", "1e308")), ("--minutes", ("inf", "nan", "0", "-5")),
                 ("--steps", ("0", "-1", "1e30", "x")), ("--learning-rate", ("0", "nan", "inf", "11")),
                 ("--validation", ("1", "-0.1", "nan", "0.99999")), ("--few-shot", ("0", "99")),
                 ("--spacing", ("0", "-1", "nan", "inf", "1e-9", "1e9")), ("--patch", ("15", "1e6", "x")),
                 ("--batch", ("0", "-1")), ("--ema", ("1", "-1", "nan")), ("--clip", ("0", "nan", "-inf")),
                 ("--cases", ("nobody",)), ("--leave-out", ("p1,p2,p3",)), ("--seed", ("-1", str(2 ** 40))),
                 ("--labels", ("x=y", "-1=a", "300=a")), ("--init-from", ("nothing", "/etc/passwd")),
                 ("--unlabelled", ("nowhere",)), ("--network.width", ("0", "1e9", "5.5")),
                 ("--network.heads", ("3", "0")), ("--network.kind", ("magic",)),
                 ("--network.dimensions", ("4", "1")), ("--network.scales", ("true", "x")),
                 ("--normalisation", ('{"kind": "window", "low": 5, "high": 1}', "x")),
                 ("--checkpoint-every", ("0", "nan", "-1")), ("--cache-limit", ("-1", "nan", "inf")),
                 ("--validate-every", ("0", "nan")), ("--phantoms", ("-1", "1e9"))],
    "pretrain": [("--preset", ("../x", "nothing", "/etc/passwd", "", "a\x1bb")),
                 ("--method", ("magic", "kaf+", "kaf+magic", "kaf:nan", "kaf:-1", "kaf:0", "kaf:inf", "", "+")),
                 ("--epochs", ("inf", "nan", "0")), ("--batch", ("0", "1")), ("--steps", ("0",))],
    "compare": [("--methods", ("magic", "kaf,kaf", "", "scratch+")), ("--few-shot", ("0", "99", "x", "-1")),
                ("--folds", ("1", "99", "x")), ("--draws", ("0", "x")), ("--run-folds", ("5", "-1")),
                ("--baseline", ("nobody",)), ("--finetune", ('{"nothing": 1}', "x", '{"steps": -1}'))],
    "evaluate": [("--labels", ("9=x", "x=y", "-1=a", "0=a", "300=a")), ("--tolerance", ("0", "nan", "inf", "-1")),
                 ("--images", ("nowhere",))],
    "select": [("--count", ("-1", "x")), ("--by", ("luck",)), ("--labelled", ("nobody",)),
               ("--leave-out", ("nobody",))],
}
TOLERATED = {
    ("segment", "--largest-component", ""), ("segment", "--roi", ""), ("compare", "--methods", ""),
    ("explain", "--point", "9999,9999,9999"), ("pretrain", "--preset", ""), ("adapt", "--labels", "1="),
    ("select", "--labelled", "nobody"), ("select", "--leave-out", "nobody"), ("evaluate", "--images", "nowhere"),
    ("segment", "--suffix", ".exe"), ("segment", "--precision", ""), ("segment", "--device", "")}
"""What may be taken: it means nothing, or something that one can do."""


def value_tries(material: Material) -> Iterator[Try]:
    """Each value by itself; the flag or the value must be named."""
    inputs = _inputs(material)
    for verb, flags in ODD.items():
        for flag, values in flags:
            for value in values:
                given = list(inputs[verb])
                if flag in given:
                    place = given.index(flag)
                    del given[place:place + 2]
                plain = flag.lstrip("-")
                about = [plain, plain.replace("-", "_"), plain.rpartition(".")[2], "arm", "method", value[:10] or plain]
                yield bad("values out of range", f"{verb} {flag}={value[:30]!r}", nothing,
                          [verb, *given, f"{flag}={value}"], about,
                          EITHER if (verb, flag, value) in TOLERATED else REFUSE, ("out", "cache"))


def _inputs(material: Material) -> dict[str, list[object]]:
    """Of every command what it needs beside the flag."""
    model, out = ["--model", material.model], ["--output", "out"]
    image = [material.scan, *model, "--output", "out.nrrd", *HERE]
    compared = ["--folds", "3", "--draws", "1", "--few-shot", "1", "--methods", "scratch"]
    return {
        "segment": image, "explain": image,
        "adapt": [material.scan, material.drawn, *model, "--output", "out.nrrd", "--seconds", "1", "--patch", "32",
                  *HERE],
        "finetune": [material.hearts, *out, *QUICK], "pretrain": [material.scans, *out, *QUICK],
        "compare": [material.hearts, *out, *compared, *HERE], "evaluate": [material.drawn, material.drawn, *out],
        "select": [material.scans, *model, *out, "--cache", "cache", *HERE]}
