"""Positions in brackets: PyTorch's examples, torchvision, timm, mmengine and mmcv, LitGPT's losses."""

from __future__ import annotations

import re

from runner.output.grammar import VALUE, Line, number, stage_of
from runner.output.reading import Reading

_EPOCH_STEP = (
    r"\bEpoch(?:\((?P<stage>train|val|test)\))?:?\s*\[\s*(?P<epoch>\d{1,15})(?:/(?P<epochs>\d{1,15}))?\]\s*"
    r"\[\s*(?P<at>\d{1,15})\s*/\s*(?P<of>\d{1,15})\s*\]"
)
_TRAIN = r"\bTrain(?:ing)?(?: Epoch)?:?\s*(?P<epoch>\d{1,15})\s*\[\s*(?P<at>\d{1,15})/(?P<of>\d{1,15})\s*\(\s*\d+%\)\]"
_ITER = r"\bIter(?:\((?P<stage>train|val|test)\))?:?\s*\[\s*(?P<at>\d{1,15})\s*/\s*(?P<of>\d{1,15})\s*\]"
_OTHER = r"\b(?P<stage>Test|Val|Valid|Validation|Eval)\b[^\[|]{0,16}\[\s*\d+\s*/\s*\d+\s*\]"
_SUMMARY = r"^\s*\*\s+(?=(?:Acc|Prec)@)"
_LITGPT = rf"loss train:\s*(?P<train>{VALUE}|n/a),\s*val:\s*(?P<val>{VALUE}|n/a)"


def read(line: str) -> Reading | None:
    """`Epoch: [3][ 40/196] Loss 1.2 (1.3)`, `Train: 3 [ 100/1251 (  8%)]`, `Iter(train) [ 100/80000]`."""
    if "loss train:" in line and (litgpt := re.search(_LITGPT, line)) is not None:
        return _litgpt(line, litgpt)
    if line.lstrip().startswith("* ") and (found := re.match(_SUMMARY, line)) is not None:
        return Reading(values=_values(line[found.end() :], "val"))
    if "[" not in line:
        return None
    for pattern in (_EPOCH_STEP, _TRAIN, _ITER, _OTHER):
        if (found := re.search(pattern, line)) is not None:
            return _of_place(found, line[found.end() :])
    return None


def _of_place(found: re.Match[str], rest: str) -> Reading:
    at = found.groupdict()
    stage = stage_of(at.get("stage") or "")
    epoch, epochs = (int(at[key]) if at.get(key) else None for key in ("epoch", "epochs"))
    if stage in ("val", "test"):  # it counts the batches of an evaluation
        return Reading(epoch=epoch, epochs=epochs, values=_values(rest, "val"))
    return Reading(int(at["at"]), int(at["of"]), epoch, epochs, _values(rest), in_epoch=epoch is not None)


def _values(rest: str, stage: str = "") -> dict[str, float]:
    """The values behind a position, which may be written without a sign: `Loss 1.2 (1.3)`."""
    return Line(f"step 0 {rest}", stage).values


def _litgpt(line: str, found: re.Match[str]) -> Reading:
    """`Epoch 1 | iter 100 step 25 | loss train: 10.1, val: n/a | iter time: 350.12 ms`"""
    place = Line(line[: found.start()])
    measured = {"train/loss": number(found["train"]), "val/loss": number(found["val"])}
    values = {name: value for name, value in measured.items() if value is not None}
    return Reading(place.step, place.total, None, None, values)  # the iterations are counted over all epochs
