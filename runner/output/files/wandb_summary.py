"""wandb-summary.json of a run of wandb, offline too: the last value of each metric, and the step of the last row."""

from __future__ import annotations

from runner.disk.reading import read_json
from runner.output import names

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, without the cost of its import
if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.output.metric_files import Row

NOT_FINITE = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}


def rows(path: str) -> Iterator[Row]:
    """One row. Entries that begin with an underscore are wandb's own."""
    summary = read_json(path, links=True)
    values: dict[str, float] = {}
    for name, value in summary.items():
        number = NOT_FINITE.get(value) if isinstance(value, str) else value
        if not name.startswith("_") and isinstance(number, int | float) and not isinstance(number, bool):
            values[names.canonical(name)] = float(number)
    step, epoch = summary.get("_step"), summary.get("epoch")
    values.pop("epoch", None)
    if values:
        yield values, step if isinstance(step, int) else None, epoch if isinstance(epoch, int | float) else None
