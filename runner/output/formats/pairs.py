"""Lines of names and values with a position: nanoGPT, Detectron2, Megatron, torchtitan, and most loops by hand."""

from __future__ import annotations

import re

from runner.output.grammar import Line
from runner.output.reading import Reading

_LONGEST = 2000  # characters; what is longer is not written for people
#: A line that shows settings, a list of files or an error, whatever numbers it has.
_NOT_MEASURED = re.compile(r"namespace\(|config\(|\bargs\b|\bargument|hyper-?param|traceback|^usage:|\bfile \"")
_PARTS = ("(", "arg", "param", "traceback", "usage:", 'file "')  # one of them is in each of these


def read(text: str) -> Reading | None:
    """`iter 100: loss 2.3`, `step=100 loss=2.3`, `Epoch 3/10: train_loss=0.5, val_loss=0.6`, `Test loss: 0.5`."""
    text = text[:_LONGEST]
    if "%|" in text:
        return None  # the bar of something else than the training
    low = text.lower()
    if any(part in low for part in _PARTS) and _NOT_MEASURED.search(low):
        return None
    line = Line(text.replace("loss value:", "loss:").replace("loss PPL:", "ppl:"))  # as Megatron calls them
    if not line.measured and (line.prose or line.best_first or not line.placed):
        return None
    if line.best_first:  # "best accuracy 0.9 (epoch 3)": where it was, not where the training is
        return Reading(values=line.values)
    return Reading(line.step, line.total, line.epoch, line.epochs, line.values)
