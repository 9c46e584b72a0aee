"""torch's AdamW and Muon as one optimizer: which parameters go where, their rates, steps that are skipped.

Never waits for a GPU: whether a step is skipped is decided there.
"""

from __future__ import annotations

import inspect
import sys
from typing import Any

import torch
from torch import Tensor, nn

from model.transformer import Transformer
from pipelines.diffusion.muon import BatchedMuon
from pipelines.diffusion.settings import DiffusionSettings


class Optimizers:
    """AdamW for all parameters, or Muon for the matrices of the blocks and AdamW for the rest (Jordan et al. 2024).

    `rate` is that of AdamW; Muon's follows in proportion.
    """

    def __init__(self, model: Transformer, settings: DiffusionSettings) -> None:
        avoid_compiler_import()
        self._proportion = settings.muon_learning_rate / settings.learning_rate
        self._clip = settings.grad_clip
        device = next(model.parameters()).device
        self._on_gpu = device.type == "cuda"
        muons = block_matrices(model) if settings.optimizer == "muon" else []
        in_muon = {id(p) for p in muons}
        rest = [p for p in model.parameters() if id(p) not in in_muon]
        self.adamw = torch.optim.AdamW(
            [{"params": [p for p in rest if p.dim() >= 2]}, {"params": [p for p in rest if p.dim() < 2]}],
            lr=settings.learning_rate, fused=True,
        )  # fmt: skip
        self.muon = BatchedMuon(muons, lr=settings.muon_learning_rate) if muons else None
        self.parameters = list(model.parameters())
        # On a GPU the rates are tensors, so that a captured step reads the current ones.
        self._rates = torch.zeros(2, device=device)
        self.apply(settings)

    def apply(self, settings: DiffusionSettings) -> None:
        """Set what follows no schedule. After loading too: the current settings win over those of a checkpoint."""
        matrices, vectors = self.adamw.param_groups
        matrices["weight_decay"], vectors["weight_decay"] = settings.weight_decay, 0.0
        for group in self.adamw.param_groups:
            group["betas"] = (settings.beta1, settings.beta2)
        for group in self.muon.param_groups if self.muon else ():
            group["weight_decay"], group["momentum"] = settings.weight_decay, settings.muon_momentum
        for group in self.adamw.param_groups:
            group["capturable"] = self._on_gpu
        self.set_rate(settings.learning_rate)

    def set_rate(self, rate: float) -> None:
        rates: tuple[float | Tensor, float | Tensor] = (rate, rate * self._proportion)
        if self._on_gpu:
            for tensor, value in zip(self._rates, rates, strict=True):
                tensor.fill_(value)
            rates = (self._rates[0], self._rates[1])
        for optimizer, current in zip((self.adamw, self.muon), rates, strict=True):
            for group in optimizer.param_groups if optimizer else ():
                group["lr"] = current

    @torch.no_grad()
    def step(self, scaler: torch.amp.GradScaler) -> tuple[Tensor, Tensor]:
        """Clip, update the parameters, clear the gradients; returns the norm before clipping, and 1.0 where it is not
        finite: then no parameter has changed."""
        for optimizer in (self.adamw, self.muon):
            if optimizer is not None:
                scaler.unscale_(optimizer)
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        skipped = (~torch.isfinite(norm)).float()
        if norm.device.type != "cpu" or not skipped:
            self._move(gradients, norm, skipped)
        for p in self.parameters:
            p.grad = None
        scaler.update()
        return norm, skipped

    def _move(self, gradients: list[Tensor], norm: Tensor, skipped: Tensor) -> None:
        if self._clip:
            torch._foreach_mul_(gradients, (self._clip / (norm + 1e-6)).clamp(max=1.0))
        # The fused kernel reads this itself.
        self.adamw.found_inf = skipped
        plain_step(self.adamw)
        if self.muon is not None:
            self.muon.step_unless(skipped)

    def state_dict(self) -> dict[str, Any]:
        """The same on every device: with rates as numbers."""
        if self.muon is None:
            return _plain(self.adamw.state_dict())
        return {"adamw": _plain(self.adamw.state_dict()), "muon": _plain(self.muon.state_dict())}

    def load_state_dict(self, state: dict[str, Any], settings: DiffusionSettings) -> None:
        if self.muon is None:
            self.adamw.load_state_dict(state)
        else:
            self.adamw.load_state_dict(state["adamw"])
            self.muon.load_state_dict(state["muon"])
        self.apply(settings)


def _plain(state: dict[str, Any]) -> dict[str, Any]:
    groups = [{**group, "lr": float(group["lr"])} for group in state["param_groups"]]
    return {**state, "param_groups": groups}


def block_matrices(model: Transformer) -> list[nn.Parameter]:
    """The matrices of linear layers; neither embeddings nor head, nor the weights of convolutions, which do not map
    vectors to vectors."""
    return [layer.weight for layer in model.blocks.modules() if isinstance(layer, nn.Linear)]


def plain_step(optimizer: torch.optim.Optimizer) -> None:
    """optimizer.step() without its wrappers: one of them imports the compiler, which a short job does not need."""
    inspect.unwrap(type(optimizer).step)(optimizer)


def avoid_compiler_import() -> None:
    """Log x

    At their first call they would import it for that, which takes most of a second. With a torch that works
    differently only that second is lost.
    """
    if "torch._dynamo" in sys.modules:
        return
    for name in ("add_param_group", "zero_grad", "state_dict", "load_state_dict"):
        method = inspect.unwrap(getattr(torch.optim.Optimizer, name))
        if getattr(method, "__dynamo_disable", None) is None:
            method.__dynamo_disable = method
