"""Evaluations in pieces: by one process or several, with the same result, and an end when one of them is stopped."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pipelines.diffusion.evaluation.pieces import divided_among, in_pieces
from pipelines.diffusion.text_objective import aligned
from pipelines.shared.distributed import World
from pipelines.shared.metrics import at_most_every

IDS, MASKS = torch.arange(14).view(7, 2), torch.arange(7)


class Sent(Exception):
    """What a process of a training gives to the others."""


@dataclass(frozen=True)
class Sends(World):
    """A world that ends when it is asked for the values of the others."""

    def gather(self, value: Any) -> list[Any]:
        raise Sent(value)


@dataclass(frozen=True)
class Receives(World):
    others: list[Any] = field(default_factory=list)

    def gather(self, value: Any) -> list[Any]:
        return [value, *self.others]


def sums(ids: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    return ids.sum(1) * 10, masks + ids[:, 0]


def of(world: World, stop: Any = lambda: False) -> tuple[Tensor, Tensor] | None:
    with divided_among(world):
        return in_pieces(nn.Dropout(), (IDS, MASKS), 2, stop, sums)


def sent(world: Sends, stop: Any = lambda: False) -> Any:
    with pytest.raises(Sent) as raised:
        of(world, stop)
    return raised.value.args[0]


@pytest.mark.parametrize("size", [2, 3, 5])
def test_several_processes_find_together_what_one_finds(size: int) -> None:
    expected = of(World())
    others = [sent(Sends(rank, rank, size)) for rank in range(1, size)]
    found = of(Receives(0, 0, size, others))
    assert expected is not None and found is not None
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    assert [len(other) for other in others] == [len(range(rank, 4, size)) for rank in range(1, size)]


def test_a_process_that_is_stopped_ends_the_evaluation_of_all() -> None:
    assert sent(Sends(1, 1, 2), lambda: True) is None
    assert of(Receives(0, 0, 2, [None])) is None
    assert of(World(), lambda: True) is None
    assert of(World()) is not None  # the world of before is back


def test_the_model_is_in_the_mode_of_evaluation_meanwhile() -> None:
    model, modes = nn.Dropout(), []

    def measure(some: Tensor) -> tuple[Tensor, Tensor]:
        modes.append((model.training, torch.is_grad_enabled()))
        return some, some

    assert in_pieces(model, (MASKS,), 3, lambda: False, measure) is not None
    assert modes == [(False, False)] * 3 and model.training


def test_lines_about_progress_are_rare() -> None:
    lines: list[str] = []
    at_most_every(3600.0, lines.append)("too soon")
    progress = at_most_every(-1.0, lines.append)
    progress("one")
    progress("two")
    assert lines == ["one", "two"]


def test_batches_begin_at_multiples_of_sixteen_bytes_on_a_gpu() -> None:
    assert [aligned(count, torch.device("cuda")) for count in (1, 16, 17)] == [16, 16, 32]
    assert aligned(17, torch.device("cpu")) == 17
