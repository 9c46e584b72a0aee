"""What moving all chains at once is worth: effective samples per second, beside a plain loop over chains.

Promised: at least 3 times as many effective samples per second with eight chains, for each sampler. Measured: the task
of config/llc/llc_small.yaml. Each sampler first finds its step, once. Then both ways take turns with that step, so that
a slow minute meets both of them: all chains in one tensor, and one chain after another through the same code. The
effective samples are those of n beta (L - L(w0)) over all chains, the seconds those of the draws that are kept; the
figures are medians over the rounds. One thread, as a job of this size has it: a second would only wait for the first.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import torch
from overhead import environment_info, scratch

import configurator
from pipelines.llc import chains, samplers
from pipelines.llc import settings as keys
from pipelines.llc.diagnostics import effective
from pipelines.llc.minimum import descend
from pipelines.llc.posterior import Posterior
from pipelines.llc.settings import LlcSettings, SamplerSettings
from pipelines.llc.target import random_stream, regression
from runner.configs import config_file

BAR = 3.0
CONFIG = Path(__file__).resolve().parent.parent / "config" / "llc" / "llc_small.yaml"
AT_ONCE, LOOP = "all at once", "a loop"


@dataclass(frozen=True, slots=True)
class Round:
    """Draws of all chains, (C, N), and the seconds that they took."""

    draws: np.ndarray
    seconds: float

    @property
    def ess(self) -> float:
        return effective(self.draws)


def main(argv: Sequence[str] | None = None) -> int:
    given = arguments(argv)
    torch.set_num_threads(1)
    settings = configurator.resolve(config_file.read(CONFIG), {})
    assert isinstance(settings, LlcSettings)
    target, _ = regression(settings, torch.device("cpu"))
    target, _ = descend(target, settings.model, lambda *_: None)
    posterior = Posterior(target, target.n * keys.beta(settings), settings.sampler.gamma)
    print(f"{given.chains} chains of {given.draws} draws, {len(target.w0)} parameters, {given.rounds} rounds,"
          f" {environment_info(given.dir)}\n")  # fmt: skip
    print(f"{'':<7}{'':<13}{'ESS/s':>10}{'lowest':>10}{'highest':>10}{'ESS':>10}{'seconds':>10}")
    ratios = {}
    for name in settings.sampler.names:
        ready = with_its_step(name, posterior, settings, given.draws, given.warmup)
        rounds = take_turns(name, posterior, ready, given.chains, given.rounds)
        ratios[name] = report(name, rounds)
    print()
    for name, ratio in ratios.items():
        held = "held" if ratio >= BAR else "MISSED"
        print(f"{name}: {ratio:.2f} times the effective samples per second of a loop; the bar is {BAR:g}: {held}")
    return 0 if min(ratios.values()) >= BAR else 1


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Exit code: 0 if the bars are held, 1 if one is missed.",
    )
    parser.add_argument("--chains", type=int, default=8, metavar="N", help="chains (default 8)")
    parser.add_argument("--draws", type=int, default=200, metavar="N", help="draws kept of each chain (default 200)")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="rounds that are counted (default 5)")
    parser.add_argument("--warmup", type=int, metavar="N", help="draws that find each step (default: the config's)")
    parser.add_argument("--dir", default=scratch(), help="named in the heading; no files are written")
    given = parser.parse_args(argv)
    if min(given.chains, given.rounds) < 1 or given.draws < 4:
        parser.error("--chains and --rounds are at least 1, --draws at least 4")
    return given


def with_its_step(
    name: str, posterior: Posterior, settings: LlcSettings, draws: int, warmup: int | None
) -> SamplerSettings:
    """The settings with the step that a warm-up has found, and chains that begin at w0: no more warm-up is needed."""
    part = getattr(settings.sampler, name)
    found = samplers.build(name, posterior, settings.sampler, random_stream(0, "step"))
    trace = chains.run(found, part.warmup if warmup is None else warmup, 1)
    fixed = part.model_copy(update={"step_size": trace.step_size, "draws": draws, "warmup": max(draws // 10, 1)})
    return settings.sampler.model_copy(update={name: fixed, "spread": 0.0})


def take_turns(
    name: str, posterior: Posterior, settings: SamplerSettings, count: int, rounds: int
) -> dict[str, list[Round]]:
    """A round before the first is not counted."""
    found: dict[str, list[Round]] = {AT_ONCE: [], LOOP: []}
    for number in range(rounds + 1):
        for way, sizes in ((AT_ONCE, [count]), (LOOP, [1] * count)):
            one = in_groups(name, posterior, settings, sizes, number)
            if number:
                found[way].append(one)
    return found


def in_groups(name: str, posterior: Posterior, settings: SamplerSettings, sizes: Sequence[int], number: int) -> Round:
    """As many chains as in `sizes`, one group after another."""
    draws, seconds = [], 0.0
    part = getattr(settings, name)
    for group, size in enumerate(sizes):
        random = random_stream(number, f"{name} {len(sizes)} {group}")
        sampler = samplers.build(name, posterior, settings.model_copy(update={"chains": size}), random)
        trace = chains.run(sampler, part.warmup, part.draws)
        draws.append(trace.losses)
        seconds += trace.seconds - trace.warmup_seconds
    return Round(np.concatenate(draws), seconds)


def report(name: str, rounds: dict[str, list[Round]]) -> float:
    """Prints a row for each way; how many times as many effective samples per second all at once are."""
    middle = {}
    for way, found in rounds.items():
        rates = [one.ess / one.seconds for one in found]
        middle[way] = statistics.median(rates)
        ess, seconds = (statistics.median(values) for values in zip(*((r.ess, r.seconds) for r in found), strict=True))
        print(
            f"{name:<7}{way:<13}{middle[way]:>10.1f}{min(rates):>10.1f}{max(rates):>10.1f}{ess:>10.0f}{seconds:>10.2f}"
        )
    return middle[AT_ONCE] / middle[LOOP]


if __name__ == "__main__":
    sys.exit(main())
