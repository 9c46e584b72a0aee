"""A table as columns of text, and which of them fit into a width. Pure: knows nothing of jobs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from runner.core.names import cut_middle, distinct_width, shortened
from runner.core.text import width_of

GAP = 2  # between two columns
LEAST_NAME, WISHED_NAME = 14, 20  # to what names are cut


@dataclass(frozen=True, slots=True)
class Column:
    """`rank`: how early it is left out where not all columns fit, the highest first; 0: never.

    `least`: where it has to be, it is cut to this width; None: it is not cut. `least_wide`: it is not narrower.
    """

    heading: str
    cells: Sequence[str]
    rank: int = 0
    right: bool = False
    least: int | None = None
    least_wide: int = 0

    @property
    def width(self) -> int:
        """That of its widest cell."""
        cells = map(len, self.cells) if _is_ascii(self.cells) else map(width_of, self.cells)
        return max(self.least_wide, width_of(self.heading), max(cells, default=0))

    @property
    def narrowest(self) -> int:
        """The width to which it can be cut."""
        return self.width if self.least is None else min(self.least, self.width)

    def cut(self, width: int) -> Column:
        """The same at most so wide, its names still different."""
        if self.width <= width:
            return self
        heading, cells = cut_middle(self.heading, width), shortened(list(self.cells), width)
        return replace(self, heading=heading, cells=cells, least_wide=min(self.least_wide, width))


@dataclass(frozen=True, slots=True)
class Fitted:
    """Columns that fit, and the headings of those that were left out, in their order."""

    columns: Sequence[Column]
    left_out: Sequence[str]


def least_name(names: Sequence[str]) -> int:
    """The width that names can be cut to: what tells them apart stays, as long as it is not long itself."""
    return max(LEAST_NAME, min(distinct_width(names), WISHED_NAME))


def fit(columns: Sequence[Column], width: int | None) -> Fitted:
    """The columns that fit into this width, if need be cut; None: all, as wide as they are."""
    if width is None:
        return Fitted(list(columns), [])
    kept = list(columns)
    least = {id(column): column.narrowest for column in columns}  # looks at every cell
    while sum(least[id(column)] + GAP for column in kept) - GAP > width:
        if not any(column.rank for column in kept):
            break
        kept.remove(max(reversed(kept), key=lambda column: column.rank))
    room = width + GAP - sum(least[id(column)] + GAP for column in kept)
    fitted = []
    for column in kept:
        narrowest = least[id(column)]
        wider = max(min(room, column.width - narrowest), 0)
        room -= wider
        fitted.append(column.cut(narrowest + wider))
    left = [column.heading for column in columns if not any(column is other for other in kept)]
    return Fitted(fitted, left)


def lines(columns: Sequence[Column]) -> list[str]:
    """The headings, and a line for each row."""
    gap = " " * GAP
    return [gap.join(cells).rstrip() for cells in zip(*map(_padded, columns), strict=True)]


def _padded(column: Column) -> list[str]:
    """The heading and the cells, each as wide as the column."""
    width, cells = column.width, [column.heading, *column.cells]
    if _is_ascii(cells):
        return [cell.rjust(width) for cell in cells] if column.right else [cell.ljust(width) for cell in cells]
    spaces = [" " * (width - width_of(cell)) for cell in cells]
    pairs = zip(spaces, cells, strict=True) if column.right else zip(cells, spaces, strict=True)
    return [before + after for before, after in pairs]


def _is_ascii(cells: Sequence[str]) -> bool:
    """Whether each sign takes one column; quicker than to look at each cell."""
    return "".join(cells).isascii()
