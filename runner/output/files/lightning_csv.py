"""metrics.csv of Lightning's CSVLogger: columns of metrics beside `step` and `epoch`; most cells are empty."""

from __future__ import annotations

import csv
import os

from runner.disk.reading import open_regular
from runner.output import names
from runner.output.grammar import number

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, without the cost of its import
if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.output.metric_files import Row

MOST = 1_000_000  # rows
LARGEST = 1 << 28  # bytes of a file: what is larger is none of its tables


def rows(path: str) -> Iterator[Row]:
    """Its rows. Raises ValueError for one that is of another program: without a `step`, or too large."""
    with open_regular(path, links=True) as file:
        if os.fstat(file.fileno()).st_size > LARGEST:
            raise ValueError("is larger than a table of Lightning")
        lines = (line.decode(errors="replace") for line in file)
        table = csv.DictReader(lines)
        if "step" not in (table.fieldnames or ()):
            raise ValueError("is not a table of Lightning: it does not have a step")
        for _, entry in zip(range(MOST), table, strict=False):
            step, epoch = (number(entry.get(name) or "") for name in ("step", "epoch"))
            values = {
                names.canonical(name): value
                for name, text in entry.items()
                if name not in ("step", "epoch") and isinstance(text, str) and (value := number(text)) is not None
            }
            if values:
                yield values, int(step) if step is not None else None, epoch
