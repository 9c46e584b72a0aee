"""How well all settings together predict a job that was not used to learn from: a small random forest. Pure.

Each tree learns from jobs drawn with replacement, by random cuts (Geurts et al. 2006, extremely randomized trees), and
predicts those that were not drawn (out of bag). It is not scikit-learn's, which an installed runner may lack: the
numbers are the same on every machine.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from runner.reports.comparing.levels import Levels, ranks

SEED, TREES = 0, 60
MOST_RUNS, DRAWN = 1000, 300  # that are looked at, and that one tree learns from
SMALLEST = 4  # jobs that are still divided


@dataclass(frozen=True, slots=True)
class Cut:
    """`setting` at most `code`, or equal to it if it has no order."""

    setting: int
    code: int
    left: Node
    right: Node


Node = Cut | float


def r2(known: Sequence[Levels], values: Sequence[float]) -> float | None:
    """1 for a perfect prediction of the ranks, 0 or less for one that is no better than the mean of all."""
    drawing = random.Random(SEED)
    chosen = range(len(values))
    if len(values) > MOST_RUNS:
        chosen = sorted(drawing.sample(chosen, MOST_RUNS))  # type: ignore[assignment]
    codes = [[one.codes[place] for place in chosen] for one in known]
    ordered = [one.ordered for one in known]
    placed = ranks([values[place] for place in chosen])
    sums, numbers = [0.0] * len(placed), [0] * len(placed)
    for _ in range(TREES):
        drawn = drawing.choices(range(len(placed)), k=min(len(placed), DRAWN))
        tree = _grown(drawn, codes, ordered, placed, drawing)
        for place in set(range(len(placed))).difference(drawn):
            sums[place] += _predicted(tree, place, codes, ordered)
            numbers[place] += 1
    seen = [place for place, number in enumerate(numbers) if number]
    middle = sum(placed) / len(placed)
    missed = sum((placed[place] - sums[place] / numbers[place]) ** 2 for place in seen)
    total = sum((placed[place] - middle) ** 2 for place in seen)
    return 1 - missed / total if total else None


def _grown(
    rows: Sequence[int],
    codes: Sequence[Sequence[int]],
    ordered: Sequence[bool],
    values: Sequence[float],
    drawing: random.Random,
) -> Node:
    """A tree over these rows: of a random cut of a third of the settings, the best one, and so on."""
    middle = sum(values[row] for row in rows) / len(rows)
    if len(rows) < SMALLEST:
        return middle
    best, division = 0.0, None
    for setting in drawing.sample(range(len(codes)), max(len(codes) // 3, min(len(codes), 2))):
        of, is_ordered = codes[setting], ordered[setting]
        code = _random_cut([of[row] for row in rows], is_ordered, drawing)
        if code is None:
            continue
        left = [row for row in rows if (of[row] <= code if is_ordered else of[row] == code)]
        part = sum(values[row] - middle for row in left)
        gain = part * part * len(rows) / (len(left) * (len(rows) - len(left)))
        if gain > best:
            best, division = gain, (setting, code, left)
    if division is None:
        return middle
    setting, code, left = division
    of, is_ordered = codes[setting], ordered[setting]
    right = [row for row in rows if not (of[row] <= code if is_ordered else of[row] == code)]
    return Cut(
        setting, code, _grown(left, codes, ordered, values, drawing), _grown(right, codes, ordered, values, drawing)
    )  # fmt: skip


def _random_cut(present: Sequence[int], ordered: bool, drawing: random.Random) -> int | None:
    """A code that divides these; None if they are equal."""
    low, high = min(present), max(present)
    if low == high:
        return None
    return drawing.randrange(low, high) if ordered else drawing.choice(present)


def _predicted(node: Node, place: int, codes: Sequence[Sequence[int]], ordered: Sequence[bool]) -> float:
    while isinstance(node, Cut):
        code = codes[node.setting][place]
        node = node.left if (code <= node.code if ordered[node.setting] else code == node.code) else node.right
    return node
