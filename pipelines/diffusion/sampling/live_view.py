"""Show in a terminal how samples are unmasked, step by step. Draws no samples itself."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import groupby

import torch
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text
from torch import Tensor

from pipelines.diffusion.text.vocabulary import Vocabulary
from runner.core.text import plain_lines

FRAMES_PER_SECOND = 15  # steps between two frames are shown only with a pause
STYLES = ("dim", "bold", "green", None)  # masked, given, new, drawn before


def terminal() -> Console | None:
    """The console on stdout if it can show a live view."""
    console = Console()
    return console if console.is_terminal and not console.is_dumb_terminal else None


def shown_live(
    steps: Iterator[Tensor], start: Tensor, vocabulary: Vocabulary, console: Console, *, pause: float
) -> Iterator[Tensor]:
    """Pass the steps on, each (B, T) ids, and show them; `start`: the ids before the first step."""
    frame = Frame(start, vocabulary, console)
    with Live(frame.of(start, 0), console=console, auto_refresh=False, transient=True) as live:
        shown = time.monotonic()
        for number, ids in enumerate(steps, 1):
            if pause or time.monotonic() - shown > 1 / FRAMES_PER_SECOND:
                live.update(frame.of(ids, number), refresh=True)
                time.sleep(pause)
                shown = time.monotonic()
            yield ids


class Frame:
    def __init__(self, start: Tensor, vocabulary: Vocabulary, console: Console) -> None:
        self._mask_id = vocabulary.size
        dot = "·" if console.encoding.lower().startswith("utf") else "."
        self._signs = [plain_lines(vocabulary.decode([number])) for number in range(vocabulary.size)] + [dot]
        self._fixed = (start != self._mask_id).cpu()
        self._before = start.cpu()
        self._room = max(80, console.width * (console.height - 4) // 2)  # half the screen, as lines are not full

    def of(self, ids: Tensor, number: int) -> Group:
        ids = ids.cpu()
        masked = ids == self._mask_id
        style = torch.where(masked, 0, torch.where(self._fixed, 1, torch.where(ids != self._before, 2, 3)))
        self._before = ids
        head = Text(f"step {number}, {int(masked.sum())} of {int((~self._fixed).sum())} to draw", style="dim")
        return Group(head, *(self._text(*row) for row in zip(ids, style, masked, strict=True)))

    def _text(self, ids: Tensor, style: Tensor, masked: Tensor) -> Text:
        """One sample; of a long one the part around the first masked position."""
        text = Text("\n")
        first = int(masked.int().argmax()) if masked.any() else len(ids)
        begin = max(0, min(first - self._room // 2, len(ids) - self._room))
        signs = zip(style[begin:].tolist(), ids[begin:].tolist(), strict=True)
        for style_number, run in groupby(signs, key=lambda sign: sign[0]):  # a style for each sign is slow over SSH
            text.append("".join(self._signs[one] for _, one in run), STYLES[style_number])
        return text
