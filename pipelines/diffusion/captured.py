"""An update of the weights as one CUDA graph: hundreds of small kernels, started by one call of the host.

A small network is trained faster by a GPU than the host can start kernels: on an H100 the host was the limit of a step
of ten million parameters, by a factor of three (docs/lab-notes.md). torch.compile(mode="reduce-overhead") replays
forward and backward; this replays the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

#: Steps that run as usual before the capture: they create moments and momenta, and choose kernels.
WARM_STEPS = 3


class CapturedUpdate:
    """Calls `update`, and replays it from the fourth call on.

    `update` reads the gradients of the parameters and leaves them as None. Whatever else changes from step to step, it
    has to read from tensors that stay where they are; the tensors that it returns are overwritten by the next call.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], update: Callable[[], tuple[Tensor, Tensor]]) -> None:
        self._parameters, self._update = parameters, update
        self._calls = 0
        self._graph: torch.cuda.CUDAGraph | None = None
        self._gradients: list[Tensor] = []
        self._results: tuple[Tensor, Tensor] | None = None

    def __call__(self) -> tuple[Tensor, Tensor]:
        self._calls += 1
        if self._calls <= WARM_STEPS:
            return self._update()
        gradients = [p.grad for p in self._parameters if p.grad is not None]
        if self._graph is None or self._results is None:
            self._graph, self._results = self._capture()
        torch._foreach_copy_(self._gradients, gradients)
        for p in self._parameters:
            p.grad = None
        self._graph.replay()
        return self._results

    def _capture(self) -> tuple[torch.cuda.CUDAGraph, tuple[Tensor, Tensor]]:
        """Records the update over gradients of its own; nothing is computed yet."""
        self._gradients = [torch.empty_like(p) for p in self._parameters if p.grad is not None]
        with_gradient = (p for p in self._parameters if p.grad is not None)
        for p, gradient in zip(with_gradient, self._gradients, strict=True):
            p.grad = gradient
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            results = self._update()
        return graph, results
