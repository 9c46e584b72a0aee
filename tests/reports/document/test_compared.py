"""The comparison in a report: the words of `compare`, and drawings of the metric by each setting."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import count

import pytest

from runner.reports.comparing import text
from runner.reports.comparing.compare import compare
from runner.reports.document import compared, effects
from runner.reports.document.clean import Clean
from runner.reports.document.content import Effect, Level
from runner.reports.table import Table
from tests.reports.comparing.rows import table

LRS, WIDTHS = (1.0, 0.01, 0.1), (64, 128)


def jobs(**more: Callable[[], object]) -> Table:
    """Two seeds of each of six settings; with a rate of 1 every second one diverges."""
    return table(*(
        ({"lr": lr, "width": width, "seed": seed, **{key: make() for key, make in more.items()}},
         None if lr == 1.0 and seed else lr + width / 1000)
        for lr in LRS for width in WIDTHS for seed in (0, 1)
    ))  # fmt: skip


def test_the_settings_that_matter_most_come_first_with_their_values_in_order() -> None:
    rows = jobs()
    found = compared.effects(rows, compare(rows), Clean())
    assert [(effect.setting, [level.label for level in effect.levels]) for effect in found] == [
        ("lr", ["0.01", "0.1", "1.0"]), ("width", ["64", "128"]),
    ]  # fmt: skip
    low, _, high = found[0].levels
    assert (low.n, low.failed, high.n, high.failed) == (4, 0, 2, 2)
    assert low.mean == pytest.approx(0.01 + 0.096) and len(low.values) == 2  # equal values are one dot


def test_a_setting_with_a_value_for_each_job_is_not_drawn() -> None:
    rows = jobs(tag=count().__next__)
    assert [effect.setting for effect in compared.effects(rows, compare(rows), Clean())] == ["lr", "width"]


def test_the_blocks_say_what_compare_says() -> None:
    rows = jobs()
    found = compare(rows)
    said = " ".join(text.lines(found, 100)).split()
    blocks = compared.blocks(found, Clean())
    assert [block.heading for block in blocks][1].startswith("Groups by the mean")
    for block in blocks:
        for sentence in (*block.before, *block.after):
            words = sentence.split()
            assert any(said[at : at + len(words)] == words for at in range(len(said))), sentence


def test_a_drawing_has_a_dot_for_each_value_and_a_line_for_each_mean() -> None:
    effect = Effect("lr", "val/loss", (Level("0.1", (1.0, 2.0, 3.0), 2.0, 3, 0), Level("<1>", (9.0,), 9.0, 1, 2)))
    (drawn,) = effects.drawn([effect])
    assert drawn.count('class="dot"') == 4 and drawn.count('class="mean"') == 2 and "✗ 2" in drawn
    assert "&lt;1&gt;" in drawn and "<1>" not in drawn
    assert "0.1: mean 2.0000 of 3; " in drawn and "2 failed or without a value" in drawn
    heights = [float(found) for found in re.findall(r'cy="([\d.]+)"', drawn)]
    assert all(effects.TOP <= height <= effects.BOTTOM for height in heights) and heights[0] > heights[1]
    assert effects.drawn([]) == [] == effects.drawn([Effect("a", "b", (Level("c", (), None, 0, 1),))])
