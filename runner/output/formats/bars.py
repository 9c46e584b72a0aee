"""Progress bars: tqdm (alone, Hugging Face, Lightning, diffusers) and Lightning's rich bar."""

from __future__ import annotations

import re

from runner.output import names
from runner.output.formats import mapping
from runner.output.grammar import Line, stage_of
from runner.output.reading import Reading

# Patterns as text: `re` compiles each when the first line needs it, and most programs draw one kind of bar.
_TQDM = (
    r"(?P<before>[^|]*?):?\s*\d{1,3}%\|[^|]*\|\s*(?P<at>\d{1,15})/(?P<of>\d{1,15})\s*\[(?P<rest>[^\]]*)\]?(?P<after>.*)"
)
_COUNT = (
    r"(?P<before>.*?)(?:^|(?<=[\s:]))(?P<at>\d{1,15})(?:it|batch|batches|steps?) \[(?P<rest>[^\]]*)\]?(?P<after>.*)"
)
_RICH = r"Epoch (?P<epoch>\d{1,15})/(?P<last>-?\d{1,15})\s*[━╸╺─ ]+\s*(?P<at>\d{1,15})/(?P<of>\d{1,15})(?P<rest>.*)"
_TRAINING = r"^[\W\d]*(?:(?:train\w*|epochs?|fit\w*|iter\w*|steps?|optimi\w*|progress|loss|acc\w*|rank|info)\b.*)?$"


def read(line: str) -> Reading | None:
    """` 45%|████▌     | 450/1000 [00:12<00:15, 36.5it/s, loss=2.31]`, with the epoch where the bar is named so."""
    if "━" in line and (rich := re.search(_RICH, line)) is not None:
        epochs = int(rich["last"]) + 1 if int(rich["last"]) >= 0 else None  # it shows the number of the last one
        values = Line(rich["rest"]).values
        return Reading(int(rich["at"]), int(rich["of"]), int(rich["epoch"]), epochs, values, in_epoch=True)
    pattern = _TQDM if "%|" in line else _COUNT if "it [" in line or (" [" in line and "it/s" in line) else None
    found = re.match(pattern, line) if pattern else None
    return _of_bar(found) if found is not None else None


def _of_bar(found: re.Match[str]) -> Reading | None:
    name, step = found["before"].strip(), int(found["at"])
    total = int(found["of"]) if "of" in found.groupdict() else None
    dict_reading = mapping.read(found["after"]) if "{" in found["after"] else None
    place = Line(name)
    stage = next((stage for word in re.findall("[A-Za-z]+", name) if (stage := stage_of(word))), "")
    values = {**place.values, **Line(found["rest"], stage if stage != "train" else "").values}
    if stage in ("val", "test") or re.match(_TRAINING, name, re.IGNORECASE) is None:
        # The bar of an evaluation, of a download, of a dataset: its count is not that of the training.
        measured = stage and "sanity" not in name.lower() and any(map(names.is_measured, values))
        return Reading(values=values) if measured else None
    if dict_reading is not None:
        epoch, final = dict_reading.epoch, dict_reading.final
        return Reading(step, total, epoch, None, {**values, **dict_reading.values}, bare=True, final=final)
    per_epoch = place.epoch is not None and total is not None
    bare = not name and not any(map(names.is_measured, values))
    return Reading(step, total, place.epoch, place.epochs, values, in_epoch=per_epoch, bare=bare)
