"""How fast the trainer's step is, beside a plain one of equal shapes and FLOPs: nanoGPT's, in bench/reference.py.

    python bench/trainer.py                      # the bars of this machine: CPU, or GPU where there is one
    python bench/trainer.py --quality            # how well both learn in the same time (minutes: --minutes)
    python bench/trainer.py --layers 4 --width 128 --batch 12 --length 64 --compile false

The recipe (Muon, convolutions, averaged weights) runs beside them, without a bar. All contestants take turns, so that
a slow minute meets all of them; the figures are medians over all steps. Both train in float32 and, where there are
units for it, in bfloat16, and the best of one is held against the best of the other. A step is everything between two
updates of the weights: batch, forward, backward, clipping, optimizer, bookkeeping. MFU counts 6 N + 12 L d T FLOPs per
token for both, although ours leaves out what it need not compute. The host's fraction is the time of all steps
outside of network and optimizer.

Bars: on a CPU, 4 layers of 128: at B=12, T=64 at least 1.3 times the eager reference; at B=32, T=128 with compile at
least 1.5 times. On an H200: at least twice the compiled reference, and 2.5 million tokens a second, at 6 layers of 384,
B=64, T=256; 460,000 tokens a second at 12 layers of 768, T=1024. The host's fraction at most 2 %.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from reference import Reference, optimizer_of, windows
from trainee import RECIPE, Trainee, some_text

from pipelines.diffusion.text.dataset import Dataset
from pipelines.shared import devices, heap

HOST_BAR = 0.02


@dataclass(frozen=True, slots=True)
class Race:
    layers: int
    width: int
    heads: int
    batch: int
    length: int
    compile: bool
    against_compiled: bool  # the reference
    bar: float | None  # times the reference's tokens per second
    tokens_bar: float | None = None  # tokens per second

    def title(self) -> str:
        how = "compiled" if self.compile else "eager"
        return f"{self.layers} layers of {self.width}, B={self.batch}, T={self.length}, {how}"


CPU_RACES = (
    Race(4, 128, 4, 12, 64, False, False, None),
    Race(4, 128, 4, 12, 64, True, False, 1.3),
    Race(4, 128, 4, 32, 128, True, True, 1.5),
)
GPU_RACES = (
    Race(6, 384, 6, 64, 256, True, True, 2.0, 2.5e6),
    Race(12, 768, 12, 32, 1024, True, True, None, 460e3),
)


@dataclass(slots=True)
class Contestant:
    name: str
    dtype: torch.dtype
    step: Callable[[], float]  # takes one; returns the seconds of it that were the host's alone
    flops: float  # per token
    seconds: list[float] = field(default_factory=list)
    host: list[float] = field(default_factory=list)
    rate: float = 0.0  # tokens a second
    fraction: float = 0.0  # of the host


def main(argv: Sequence[str] | None = None) -> int:
    given = arguments(argv)
    if given.quality:
        from quality import compare

        return compare(given)
    heap.keep_freed(os.environ)  # as train_run.py; the other side gains from it as well
    device = devices.choose_device(given.device)
    races = chosen(given, device)
    dtypes = [given.dtype] if given.dtype else precisions(device)
    where = f"{devices.describe(device)}, torch {torch.__version__}, {os.cpu_count()} cores"
    print(f"{where}, load {os.getloadavg()[0]:.1f}")
    held = True
    with tempfile.TemporaryDirectory() as folder:
        text = some_text(Path(folder))
        for race in races:
            held &= run(race, [getattr(torch, dtype) for dtype in dtypes], text, device, given)
    return 0 if held else 1


def precisions(device: torch.device) -> list[str]:
    """Those that can win: bfloat16 without units for it takes several times as long."""
    if device.type == "cuda":
        return ["bfloat16"]
    return ["float32", "bfloat16"] if devices.has_bfloat16_units(device) else ["float32"]


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], help="default: those that this device is fast at")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--steps", type=int, default=10, help="per turn")
    for name in ("layers", "width", "heads", "batch", "length"):
        parser.add_argument(f"--{name}", type=int)
    parser.add_argument("--compile", choices=["true", "false"])
    parser.add_argument("--quality", action="store_true")
    parser.add_argument("--minutes", type=float, default=5.0, help="of training for each, with --quality")
    parser.add_argument("--config", default="config/recipes/shakespeare_cpu_5min.py", help="with --quality")
    return parser.parse_args(argv)


def chosen(given: argparse.Namespace, device: torch.device) -> Sequence[Race]:
    races = GPU_RACES if device.type == "cuda" else CPU_RACES
    changes = {k: v for k in ("layers", "width", "heads", "batch", "length") if (v := getattr(given, k)) is not None}
    if given.compile is not None:
        changes |= {"compile": given.compile == "true", "against_compiled": given.compile == "true"}
    return [replace(races[-1], **changes, bar=None, tokens_bar=None)] if changes else races


def run(
    race: Race, dtypes: Sequence[torch.dtype], text: Dataset, device: torch.device, given: argparse.Namespace
) -> bool:
    """Let all take turns, print the table, and return whether the bars are met."""
    contestants = [make(race, dtype, text, device) for make in (reference, ours) for dtype in dtypes]
    recipe = ours(race, dtypes[-1], text, device, recipe=True)
    for one in [*contestants, recipe]:
        for _ in range(5):  # a captured update begins with the fourth
            one.step()
    for _ in range(given.rounds):
        for one in [*contestants, recipe]:
            for _ in range(given.steps):
                devices.synchronize(device)
                begun = time.perf_counter()
                host = one.step()
                devices.synchronize(device)
                one.seconds.append(time.perf_counter() - begun)
                one.host.append(host)
    tokens = race.batch * race.length
    peaks = {dtype: devices.peak_flops(device, dtype) for dtype in dtypes}
    print(f"\n{race.title()}, {given.rounds * given.steps} steps each")
    for dtype, peak in peaks.items():
        print(f"peak {peak.flops / 1e12:.3g} TFLOP/s in {devices.dtype_name(dtype)} ({peak.source})")
    print(f"{'':32}{'ms a step':>10}{'tokens/s':>12}{'MFU':>7}{'host':>7}")
    for one in [*contestants, recipe]:
        median = statistics.median(one.seconds)
        one.rate, one.fraction = tokens / median, sum(one.host) / sum(one.seconds)
        print(f"{one.name:32}{median * 1e3:>10.2f}{one.rate:>12,.0f}"
              f"{one.flops * one.rate / peaks[one.dtype].flops:>7.1%}{one.fraction:>7.1%}")  # fmt: skip
    best = max(contestants[len(dtypes) :], key=lambda one: one.rate)
    return passed(race, best.rate, best.rate / max(one.rate for one in contestants[: len(dtypes)]), best.fraction)


def passed(race: Race, tokens_per_second: float, ratio: float, host_fraction: float) -> bool:
    against = "compiled" if race.against_compiled else "eager"
    bar = f"; the bar is {race.bar}: {'held' if ratio >= race.bar else 'missed'}" if race.bar else ""
    print(f"{ratio:.2f} times the {against} reference{bar}")
    print(f"the host's fraction of our step {host_fraction:.1%}; the bar is {HOST_BAR:.0%}:"
          f" {'held' if host_fraction <= HOST_BAR else 'missed'}")  # fmt: skip
    held = ratio >= (race.bar or 0) and host_fraction <= HOST_BAR
    if race.tokens_bar:
        held &= tokens_per_second >= race.tokens_bar
        print(f"{tokens_per_second:,.0f} tokens a second; the bar on an H200 is {race.tokens_bar:,.0f}")
    return held


def reference(race: Race, dtype: torch.dtype, text: Dataset, device: torch.device) -> Contestant:
    torch.manual_seed(0)
    model = Reference(text.vocab_size + 1, text.vocab_size, race.length, race.layers, race.width, race.heads).to(device)
    network = torch.compile(model) if race.against_compiled else model
    optimizer = optimizer_of(model, 1e-3)
    batches = windows(text.train, race.batch, race.length, device)

    def step() -> float:
        begun = time.perf_counter()
        ids = next(batches)
        host = time.perf_counter() - begun
        with devices.autocast(device, dtype):
            loss = network(ids, ids)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return host

    matrices = sum(p.numel() for p in model.parameters()) - model.tokens.weight.numel() - model.positions.weight.numel()
    flops = 6 * matrices + 12 * race.layers * race.width * race.length
    name = f"reference, {'compiled' if race.against_compiled else 'eager'}, {devices.dtype_name(dtype)}"
    return Contestant(name, dtype, step, flops)


def ours(race: Race, dtype: torch.dtype, text: Dataset, device: torch.device, *, recipe: bool = False) -> Contestant:
    one = Trainee(
        text, device, dtype, compile=race.compile, graphs=race.compile, batch_size=race.batch, block_size=race.length,
        n_layer=race.layers, n_head=race.heads, n_embd=race.width, **(RECIPE if recipe else {}),
    )  # fmt: skip

    def step() -> float:
        one.step()
        return one.host_seconds

    name = f"{'recipe' if recipe else 'ours'}, {'compiled' if race.compile else 'eager'}, {devices.dtype_name(dtype)}"
    return Contestant(name, dtype, step, one.state.model.flops_per_token())


if __name__ == "__main__":
    raise SystemExit(main())
