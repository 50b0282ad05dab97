"""The choices that the panel keeps in the scene: no path and no patient, since scenes are passed on."""

from typing import Annotated

from slicer.parameterNodeWrapper import WithinRange, parameterNodeWrapper


@parameterNodeWrapper
class Parameters:
    """The choices of the panel. ``method`` is what `kaf pretrain --method` takes, ``preset`` a name or nothing; values
    that are not known count as the default, so that a scene of another version still opens."""

    preset: str = "kaf-compact"
    method: str = "kaf"
    pretrainMinutes: Annotated[float, WithinRange(0.05, 100000)] = 30
    pretrainSeed: Annotated[int, WithinRange(0, 2147483647)] = 0
    pretrainDevice: str = "auto"
    pretrainName: str = "pretrained"
    validationShare: Annotated[int, WithinRange(0, 80)] = 20
    testShare: Annotated[int, WithinRange(0, 80)] = 20
    splitSeed: Annotated[int, WithinRange(0, 2147483647)] = 0
    selectionCount: Annotated[int, WithinRange(1, 500)] = 5
    fewShot: Annotated[int, WithinRange(0, 10000)] = 0
    folds: Annotated[int, WithinRange(1, 20)] = 1
    finetuneMinutes: Annotated[float, WithinRange(0.05, 100000)] = 20
    finetuneSeed: Annotated[int, WithinRange(0, 2147483647)] = 0
    finetuneDevice: str = "auto"
    finetuneName: str = "my-model"
    evaluateDevice: str = "auto"
