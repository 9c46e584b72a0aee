"""The line formats by name: the built-in ones, and those of installed packages. A supervisor does not import this."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from runner.core.registry import Registry

if TYPE_CHECKING:
    from runner.output.reading import Reading

#: A function of a line, or a class whose instances are called with the lines of one job, one after another.
LineFormat = Callable[[str], "Reading | None"] | type[Callable[[str], "Reading | None"]]

#: The first one that understands a line is taken: those of plugins, then the built-in ones in this sequence.
FORMATS: Registry[LineFormat] = Registry(
    "runner.line_formats",
    "line format",
    {
        "tables": "runner.output.formats.tables:Tables",
        "bars": "runner.output.formats.bars:read",
        "keras": "runner.output.formats.keras:Keras",
        "mapping": "runner.output.formats.mapping:read",
        "brackets": "runner.output.formats.brackets:read",
        "pairs": "runner.output.formats.pairs:read",
    },
)
