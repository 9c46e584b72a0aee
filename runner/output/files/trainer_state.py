"""trainer_state.json of Hugging Face's Trainer: `log_history` is a list of rows with `step` and `epoch`."""

from __future__ import annotations

from runner.disk.reading import read_json
from runner.output.formats import mapping

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, without the cost of its import
if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.output.metric_files import Row

LARGEST = 1 << 26  # bytes


def rows(path: str) -> Iterator[Row]:
    """Its rows. Each checkpoint has a file of its own with all rows up to there."""
    history = read_json(path, LARGEST, links=True).get("log_history")
    for entry in history if isinstance(history, list) else ():
        reading = mapping.of_entries(entry) if isinstance(entry, dict) else None
        if reading is not None:
            yield dict(reading.values), reading.step, reading.epoch
