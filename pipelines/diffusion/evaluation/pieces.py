"""A model over many windows, a few at a time, so that memory is bounded; by all processes of a training together.

Prints nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from pipelines.shared.distributed import World

LOG_SECONDS = 10.0  # between two lines about the progress of an evaluation
MOST_TOKENS = 2**14  # in one forward pass, so that memory is bounded whatever eval_iters is
MOST_LOGITS = 2**25

Stop = Callable[[], bool]
Pair = tuple[Tensor, Tensor]

_world = World()


@contextmanager
def divided_among(world: World) -> Iterator[None]:
    """Meanwhile the ranks of `world` compute pieces in turn, and all have all results. All must evaluate the same."""
    global _world
    before, _world = _world, world
    try:
        yield
    finally:
        _world = before


def rows_at_once(length: int, classes: int) -> int:
    """Windows in one forward pass."""
    return max(1, min(MOST_TOKENS, MOST_LOGITS // classes) // length)


@contextmanager
def eval_mode(model: nn.Module) -> Iterator[None]:
    """Without dropout and gradients; restores the mode of the model."""
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(was_training)


def in_pieces(
    model: nn.Module, parts: Sequence[Tensor], rows: int, stop: Stop, function: Callable[..., Pair]
) -> Pair | None:
    """What `function` returns of all rows of `parts`, each (N, ...), by so many rows at a time: two tensors (N, ...).

    `model` is in the mode of evaluation meanwhile. None when `stop` returned True.
    """
    pieces = list(zip(*(part.split(rows) for part in parts), strict=True))
    with eval_mode(model):
        own = _computed(pieces[_world.rank :: _world.size], stop, function)
    if _world.is_single:
        found = own
    else:
        ranks = _world.gather(None if own is None else [tuple(part.cpu() for part in pair) for pair in own])
        # In the order of the pieces, so that the result does not depend on the number of processes.
        found = None if None in ranks else [ranks[n % _world.size][n // _world.size] for n in range(len(pieces))]
    if found is None:
        return None
    first, second = (torch.cat(part) for part in zip(*found, strict=True))
    return first, second


def _computed(pieces: Sequence[tuple[Tensor, ...]], stop: Stop, function: Callable[..., Pair]) -> list[Pair] | None:
    found = []
    for piece in pieces:
        if stop():
            return None
        found.append(function(*piece))
    return found
