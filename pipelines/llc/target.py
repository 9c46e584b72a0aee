"""The target of sampling: a loss over flat parameter vectors, its data and its minimum."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from model.regressors import Regressor
from pipelines.llc.settings import LlcSettings, layer_sizes

#: (..., d), then tensors (m, ...) or (..., m, ...) of data -> (...): the mean loss over m examples, of each vector
Loss = Callable[..., Tensor]


@dataclass(frozen=True, slots=True)
class Target:
    """L(w), the mean loss over `n` examples in nats, and the point w0 around which it is sampled, in float64."""

    loss: Loss
    w0: Tensor  # (d,)
    n: int
    data: tuple[Tensor, ...] = ()  # (n, ...) each; empty for a potential that is given by a formula


def regression(settings: LlcSettings, device: torch.device) -> tuple[Target, Regressor]:
    """Teacher and student of the settings. w0 is the start of the student's training, not a minimum yet.

    x ~ N(0, I), y = teacher(x) + noise * N(0, 1). The loss is the negative log-likelihood without its constant,
    |y - f(x)|^2 / (2 noise^2), so that n L is that of Watanabe's theory, plus decay/2 |w|^2.
    """
    data, linear = settings.data, settings.model.kind == "linear"
    sizes = layer_sizes(settings.model, data)
    student = Regressor(sizes, linear)
    teacher = Regressor((sizes[0], *[settings.model.teacher_width] * settings.model.hidden_layers, sizes[-1]), linear)

    # On the CPU, so that a seed means the same data on every device.
    random = random_stream(settings.seed, "data")
    x = torch.randn(data.n_data, data.inputs, generator=random, dtype=torch.float64)
    truth = teacher(teacher.draw(random), x)
    y = truth + data.noise * torch.randn(truth.shape, generator=random, dtype=torch.float64)

    def loss(w: Tensor, x: Tensor, y: Tensor) -> Tensor:
        squared_error = (student(w, x) - y).square().sum(-1).mean(-1) / (2 * data.noise**2)
        return squared_error + settings.model.decay / 2 * w.square().sum(-1)

    first = student.draw(random_stream(settings.seed, "weights"))
    return Target(loss, first.to(device), data.n_data, (x.to(device), y.to(device))), student


def random_stream(seed: int, use: str, device: torch.device | str = "cpu") -> torch.Generator:
    """A random stream for one use, independent of all other uses."""
    words = np.random.SeedSequence([seed, *use.encode()]).generate_state(1, np.uint64)
    return torch.Generator(device).manual_seed(int(words[0]))
