"""Changes of the five-minute recipe, each alone, on a small network: is one worth a measurement at full size?

    python bench/candidates.py --seeds 1,2                       # all of them, minutes each
    python bench/candidates.py wsd "ema 0.99" --steps 300

The recipe on a smaller network, on tiny Shakespeare. All train for the same number of steps, so other work on the
machine does not matter; what a step costs is given in milliseconds of the processor, in float32 without compilation
unless --compiled is given. Loss: nats per character of 400 windows of the validation text, the same windows and masks
for all, on the averaged weights where there are any. The first line is the recipe itself. Another seed gives another
loss: a difference of one seed below 0.01 is chance.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import configurator
from model.attention import attend, rotate
from model.diffusion import elbo_weights, gather_masked, masked_positions
from model.masks import apply_mask, random_masks, stratified
from model.transformer import Attention, Transformer
from pipelines.diffusion.batches import Batch, seeded
from pipelines.diffusion.masked_prediction import MaskedPrediction
from pipelines.diffusion.schedule import learning_rate
from pipelines.diffusion.settings import DiffusionSettings
from pipelines.diffusion.text.dataset import Dataset
from pipelines.diffusion.text.open import open_dataset
from pipelines.diffusion.train_state import BatchLoss, Updater, averaged_weights, build, loss_of
from pipelines.shared import devices, heap
from runner.configs import inheritance

CPU = torch.device("cpu")
RECIPE = Path(__file__).resolve().parent.parent / "config/recipes/shakespeare_cpu_5min.py"
OF_STEPS = {"max_minutes": 0.0, "eval_iters": 40}
PLAIN = {"dtype": "float32", "compile": False}


class Training:
    """A network and the objective of each of its steps."""

    def __init__(self, text: Dataset, settings: DiffusionSettings) -> None:
        self.text, self.settings = text, settings
        self.dtype = devices.choose_dtype(settings.dtype, CPU, compiled=devices.compiles(settings.compile, CPU))
        self.state = build(settings, text.vocab_size, CPU, self.dtype)
        self.evaluated = MaskedPrediction(settings, text, CPU, self.dtype)
        self.objective: Callable[[int], MaskedPrediction] = lambda iteration: self.evaluated

    @property
    def model(self) -> Transformer:
        return self.state.model

    def run(self) -> tuple[float, float]:
        """The loss, and the milliseconds of the processor of a step."""
        network: nn.Module = BatchLoss(self.model, CPU, self.dtype)
        if devices.compiles(self.settings.compile, CPU):
            network = torch.compile(network, dynamic=False)
        updater, seconds = Updater(self.state, self.settings), []
        for iteration in range(self.settings.max_iters):
            begun = time.process_time()
            loss_of(network, self.objective(iteration).draw(iteration)).backward()
            updater.step(learning_rate(iteration, self.settings), iteration)
            seconds.append(time.process_time() - begun)
        with averaged_weights(self.state) as model:
            found = self.evaluated.evaluate(model, lambda: False)
        assert found is not None
        return found.val_loss, 1e3 * statistics.median(seconds)


class Complementary(MaskedPrediction):
    """Half as many windows, each twice: what is masked in one row is seen in the other."""

    def build(self, starts: np.ndarray, numbers: range, stage: int, rng: np.random.Generator) -> Batch:
        groups, rows, length = len(starts), starts.shape[1] // 2, self._settings.block_size
        ids = self._corpus.windows(starts[:, :rows].ravel(), length).view(groups, rows, length)
        generator = seeded(self._generator, rng)
        count = (stratified(groups, rows, generator).flatten() * length).ceil().long().clamp(1, length - 1)
        masks = random_masks(count, length, generator).view(groups, rows, length)
        ids, masks = torch.cat((ids, ids), dim=1), torch.cat((masks, ~masks), dim=1)
        at = masked_positions(masks, rows * length)
        weights = gather_masked(elbo_weights(masks).float(), at)
        return Batch(apply_mask(ids, masks, self._text.mask_id), at, gather_masked(ids, at), weights)


def complementary(training: Training) -> None:
    objective = Complementary(training.settings, training.text, CPU, training.dtype)
    training.objective = lambda iteration: objective


def short_windows_first(training: Training) -> None:
    """Half of the steps with twice as many windows of half the length."""
    settings = training.settings
    given = settings.model_dump() | {"block_size": settings.block_size // 2, "batch_size": 2 * settings.batch_size}
    short = MaskedPrediction(DiffusionSettings(**given), training.text, CPU, training.dtype)
    training.objective = lambda iteration: short if iteration < settings.max_iters // 2 else training.evaluated


def rounded_stream(training: Training) -> None:
    """What leaves a layer has the precision of bfloat16."""
    for module in (training.model.embedding, *training.model.blocks):
        module.register_forward_hook(lambda module, given, out: out.bfloat16().float())


class FewQueries(nn.Module):
    """The last layer's attention with queries and outputs of the masked positions alone; keys and values of all.

    Not the same network: the convolution that follows reads the neighbours of a masked position.
    """

    def __init__(self, attention: Attention, mask_id: int) -> None:
        super().__init__()
        self.attention, self.mask_id = attention, mask_id
        self.ids: Tensor | None = None

    def forward(self, x: Tensor, rotation: tuple[Tensor, Tensor] | None, mask: Tensor | None = None) -> Tensor:
        inner, (B, T, C) = self.attention, x.shape
        assert self.ids is not None and rotation is not None
        at = torch.eq(self.ids, self.mask_id).flatten().nonzero().flatten()
        q_weight, kv_weight = inner.qkv.weight.split((C, 2 * C))
        flat = x.flatten(0, 1)
        q = torch.zeros_like(flat).index_copy(0, at, flat[at] @ q_weight.mT)
        qkv = torch.cat((q, flat @ kv_weight.mT), dim=1).view(B, T, 3, inner.n_head, C // inner.n_head)
        q, k = rotate(F.rms_norm(qkv[:, :, :2], (C // inner.n_head,)), *rotation).unbind(2)
        y = attend(q, k, qkv[:, :, 2], causal=False, normalised=True, dropout=0.0).reshape(B * T, C)
        return torch.zeros_like(flat).index_copy(0, at, inner.out(y[at])).view(B, T, C)


def queries_where_masked(training: Training) -> None:
    few = FewQueries(training.model.blocks[-1].attention, training.text.mask_id)
    training.model.blocks[-1].attention = few
    training.model.register_forward_pre_hook(lambda module, given: setattr(few, "ids", given[0]))


Change = Callable[[Training], None]
#: name -> settings, and a change of the training that is not one of settings.
CANDIDATES: dict[str, tuple[dict[str, Any], Change | None]] = {
    "recipe": ({}, None),
    "rate 3e-3": ({"learning_rate": 3e-3}, None),
    "rate 1e-2": ({"learning_rate": 1e-2}, None),
    "rate 2e-2": ({"learning_rate": 2e-2}, None),
    "rate 4e-2": ({"learning_rate": 4e-2}, None),
    "muon rate 0.02": ({"muon_learning_rate": 0.02}, None),
    "momentum 0.95": ({"muon_momentum": 0.95}, None),
    "momentum 0.6": ({"muon_momentum": 0.6}, None),
    "convolutions of 9": ({"conv_width": 9}, None),
    "weight decay 0.1": ({"weight_decay": 0.1}, None),
    "cosine": ({"decay": "cosine"}, None),
    "wsd": ({"decay": "wsd"}, None),
    "ema 0.98": ({"ema_decay": 0.98}, None),
    "ema 0.99": ({"ema_decay": 0.99}, None),
    "short windows first": ({}, short_windows_first),
    "bfloat16 stream": ({}, rounded_stream),
    "queries where masked": ({}, queries_where_masked),
    "complementary masks": ({}, complementary),
}


def main() -> int:
    given = arguments()
    heap.keep_freed(os.environ)
    text = open_dataset(given.dataset)
    recipe = configurator.resolve(inheritance.read(RECIPE), {}).model_dump() | OF_STEPS
    recipe |= {} if given.compiled else PLAIN
    shape = f"{given.layers} layers of {given.width}, windows of {given.length}"
    print(f"{shape}, {given.steps} steps, {text.name}, torch {torch.__version__}, {torch.get_num_threads()} threads")
    print(f"{'':24}{'seed':>5}{'loss':>9}{'difference':>12}{'ms a step':>11}", flush=True)
    base: dict[int, float] = {}
    for name in dict.fromkeys(("recipe", *given.names)):
        settings, change = CANDIDATES[name]
        for seed in given.seeds:
            chosen = recipe | {"dataset": given.dataset, "max_iters": given.steps, "seed": seed}
            chosen |= {"n_layer": given.layers, "n_embd": given.width, "block_size": given.length} | settings
            training = Training(text, DiffusionSettings(**chosen))
            if change is not None:
                change(training)
            loss, cost = training.run()
            base.setdefault(seed, loss)
            print(f"{name:24}{seed:>5}{loss:>9.4f}{loss - base[seed]:>+12.4f}{cost:>11.1f}", flush=True)
    return 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=list(CANDIDATES), metavar="NAME", help=", ".join(CANDIDATES))
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--layers", type=int, default=3)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--length", type=int, default=128, help="of a window")
    parser.add_argument("--seeds", type=lambda text: [int(word) for word in text.split(",")], default=[1])
    parser.add_argument("--compiled", action="store_true", help="in the precision of the recipe, compiled")
    parser.add_argument("--dataset", default="shakespeare_char")
    given = parser.parse_args()
    if unknown := set(given.names) - set(CANDIDATES):
        parser.error(f"unknown candidates: {', '.join(sorted(unknown))}; there are {', '.join(CANDIDATES)}")
    return given


if __name__ == "__main__":
    sys.exit(main())
