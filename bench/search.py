"""What the samplers and ASHA of a search bring, by regret at equal budget, beside Optuna driven by hand.

The problems have known minima: Branin (2 settings), Hartmann (6), and a valley over three logarithmic settings, which
could be learning rate, weight decay and warm-up. Their value after a part of the training is the final one plus a gap
that closes, at a rate that differs from trial to trial, so that an early value misleads now and then. The fourth trains
a small network on the digits of scikit-learn, here in this process.

Each contestant has the budget of so many full trainings; one that prunes spends what it saves on further trials. The
regret is the final value of the best trial that was trained in full, less the minimum (of the digits: the least error
that any contestant found on the same half). Missed is: ours with Optuna is worse than Optuna by hand in more seeds than
chance gives in 1 of 100 runs. The contestants take turns, so that a slow minute meets all of them; no
job is started, the runner's own functions suggest and prune.

  python bench/search.py                     50 seeds, 30 full trainings each
  python bench/search.py --seeds 5 --problems digits
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import math
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import optuna

from runner.search import pruning
from runner.search.pruning import Event, Rungs
from runner.search.space import COMPLETE, PRUNED, Range, Search, Trial
from runner.search.suggest import suggest

STEPS = 27  # of a full training; ASHA has rungs at 3 and 9
Curve = Callable[[Mapping[str, Any], int], Iterator[float]]  # settings, seed -> the value after each step


@dataclass(frozen=True)
class Problem:
    ranges: Mapping[str, Range]
    curve: Curve
    least: float | None  # the minimum; None: the least that was found


def branin(params: Mapping[str, Any]) -> float:
    x, y = params["x"], params["y"]
    bowl = y - 5.1 / (4 * math.pi**2) * x**2 + 5 / math.pi * x - 6
    return float(bowl**2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10)


ALPHA = np.array([1.0, 1.2, 3.0, 3.2])
A = np.array([[10, 3, 17, 3.5, 1.7, 8], [0.05, 10, 17, 0.1, 8, 14],
              [3, 3.5, 1.7, 10, 17, 8], [17, 8, 0.05, 10, 0.1, 14]])  # fmt: skip
P = 1e-4 * np.array([[1312, 1696, 5569, 124, 8283, 5886], [2329, 4135, 8307, 3736, 1004, 9991],
                     [2348, 1451, 3522, 2883, 3047, 6650], [4047, 8828, 8732, 5743, 1091, 381]])  # fmt: skip


def hartmann(params: Mapping[str, Any]) -> float:
    x = np.array([params[f"x{number}"] for number in range(6)])
    return float(-(ALPHA * np.exp(-(A * (x - P) ** 2).sum(1))).sum())


def valley(params: Mapping[str, Any]) -> float:
    rate, decay, warm = (math.log10(params[key]) for key in ("rate", "decay", "warm"))
    return (rate + 3) ** 2 + 0.3 * (decay + 2 + 0.5 * (rate + 3)) ** 2 + 0.1 * (warm - 2) ** 2


def closing_gap(final: Callable[[Mapping[str, Any]], float], scale: float) -> Curve:
    """The curve of a problem whose final value is known."""

    def curve(params: Mapping[str, Any], seed: int) -> Iterator[float]:
        end = final(params)
        source = hashlib.sha256(repr((seed, sorted(params.items()))).encode()).digest()
        rate = 3 + 4 * source[0] / 255
        for step in range(1, STEPS + 1):
            yield end + scale * (math.exp(-rate * step / STEPS) - math.exp(-rate))

    return curve


class Digits:
    """One hidden layer, by gradient descent with momentum. The value is the error on the second half of the images."""

    def __init__(self) -> None:
        from sklearn.datasets import load_digits

        found = load_digits()
        order = np.random.default_rng(0).permutation(len(found.data))
        self.x, self.y = (found.data[order] / 16.0).astype(np.float32), found.target[order]
        self.half = len(order) // 2

    def __call__(self, params: Mapping[str, Any], seed: int) -> Iterator[float]:
        source = np.random.default_rng(seed)
        width = params["width"]
        w = [source.normal(0, params["start"], shape).astype(np.float32) for shape in ((64, width), (width, 10))]
        v = [np.zeros_like(one) for one in w]
        one_hot = np.eye(10, dtype=np.float32)[self.y]
        with np.errstate(all="ignore"):
            for _ in range(STEPS):
                for at in np.array_split(source.permutation(self.half), self.half // 64):
                    hidden = np.maximum(self.x[at] @ w[0], 0)
                    error = (softmax(hidden @ w[1]) - one_hot[at]) / len(at)
                    back = (error @ w[1].T) * (hidden > 0)
                    for place, slope in enumerate((self.x[at].T @ back, hidden.T @ error)):
                        v[place] = params["momentum"] * v[place] - params["rate"] * (slope + params["decay"] * w[place])
                        w[place] += v[place]
                scores = np.maximum(self.x[self.half :] @ w[0], 0) @ w[1]
                yield float((scores.argmax(1) != self.y[self.half :]).mean()) if np.isfinite(scores).all() else 0.9


def softmax(scores: np.ndarray) -> np.ndarray:
    powers = np.exp(scores - scores.max(1, keepdims=True))
    return np.asarray(powers / powers.sum(1, keepdims=True))


def problems() -> dict[str, Problem]:
    rates = {"rate": Range("log", (1e-6, 1.0)), "decay": Range("log", (1e-6, 1.0)), "warm": Range("log", (1.0, 1e4))}
    net = {"rate": Range("log", (1e-4, 10.0)), "momentum": Range("float", (0.0, 0.99)),
           "decay": Range("log", (1e-6, 1e-1)), "width": Range("int", (4, 64)),
           "start": Range("log", (1e-3, 3.0))}  # fmt: skip
    return {
        "branin": Problem(
            {"x": Range("float", (-5, 10)), "y": Range("float", (0, 15))}, closing_gap(branin, 50), 0.397887
        ),
        "hartmann": Problem(
            {f"x{number}": Range("float", (0, 1)) for number in range(6)}, closing_gap(hartmann, 2), -3.32237
        ),
        "valley": Problem(rates, closing_gap(valley, 5), 0.0),
        "digits": Problem(net, Digits(), None),
    }


def searched(problem: Problem, search: Search, budget: int, seed: int) -> float:
    """The best final value of a search with one worker, as the runner does it, within a budget of steps."""
    known: list[Trial] = []
    rungs, best = Rungs(search), math.inf
    while budget > 0:
        number = len(known)
        params = suggest(search, number, known)
        value, low = math.inf, math.inf
        for step, value in enumerate(problem.curve(params, seed), 1):
            budget, low = budget - 1, min(low, value)
            if rungs.next_level(number) == step:
                rungs.add(rungs.arrival(number, step, low))
            if budget <= 0 or rungs.stopped_at(number):
                break
        if (stop := rungs.stopped_at(number)) is not None:
            known.append(Trial(number, params, PRUNED, stop.value, stop.level))
        elif step == STEPS:
            best = min(best, low)
            rungs.add(Event(number, pruning.COMPLETED, None, low))
            known.append(Trial(number, params, COMPLETE, low))
        else:
            return best
    return best


def by_hand(problem: Problem, search: Search, budget: int, seed: int) -> float:
    """The same with a study of Optuna's that lives as long as the search."""
    sampler = optuna.samplers.TPESampler(seed=search.seed, multivariate=True, constant_liar=True)
    study = optuna.create_study(sampler=sampler)
    for _ in range(budget // STEPS):
        trial = study.ask()
        params = {key: _asked(trial, key, one) for key, one in problem.ranges.items()}
        study.tell(trial, min(problem.curve(params, seed)))
    return float(study.best_value)


def _asked(trial: optuna.Trial, key: str, one: Range) -> Any:
    low, high = one.of[:2]
    if one.kind == "int":
        return trial.suggest_int(key, low, high)
    return trial.suggest_float(key, low, high, log=one.kind == "log")


#: The runner's own are suggested and pruned by its functions, `Optuna by hand` is not.
PRUNES: Mapping[str, Any] = {"pruner": "asha", "min_resource": 3.0, "max_resource": float(STEPS)}
CONTESTANTS: Mapping[str, Mapping[str, Any]] = {
    "random": {}, "tpe": {"sampler": "tpe"}, "asha": PRUNES, "asha + tpe": {"sampler": "tpe", **PRUNES},
}  # fmt: skip
HAND = "Optuna by hand"


def measured(problem: Problem, seeds: int, trainings: int) -> dict[str, list[float]]:
    """The regret of each contestant for each seed; they take turns."""
    found: dict[str, list[float]] = {name: [] for name in (*CONTESTANTS, HAND)}
    for seed in range(seeds):
        search = Search(problem.ranges, "loss", seed=seed)
        for name, more in CONTESTANTS.items():
            found[name].append(searched(problem, replace(search, **more), trainings * STEPS, seed))
        found[HAND].append(by_hand(problem, search, trainings * STEPS, seed))
    least = problem.least if problem.least is not None else min(map(min, found.values()))
    return {name: [value - least for value in values] for name, values in found.items()}


def row(name: str, values: list[float]) -> str:
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else values * 3
    return f"  {name:16}{middle:10.4g}{low:10.4g}{high:10.4g}{statistics.fmean(values):10.4g}"


def chance(lower: int, number: int) -> float:
    """How often a fair coin shows heads in so few of `number` throws."""
    return sum(math.comb(number, heads) for heads in range(lower + 1)) / 2**number


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--trainings", type=int, default=30, help="the budget: so many full trainings")
    parser.add_argument("--problems", nargs="+", choices=list(problems()), default=list(problems()))
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the regrets of all seeds")
    given = parser.parse_args()
    optuna.logging.set_verbosity(logging.ERROR)
    warnings.simplefilter("ignore")
    print(f"Optuna {optuna.__version__}; {given.seeds} seeds, budget {given.trainings} trainings of {STEPS} steps")
    kept, missed = {}, False
    for name in given.problems:
        began = time.monotonic()
        found = kept[name] = measured(problems()[name], given.seeds, given.trainings)
        print(f"\n{name}: regret{'':9}median  quarter 3rd quart      mean   ({time.monotonic() - began:.0f} s)")
        for contestant, values in found.items():
            print(row(contestant, values), flush=True)
        differences = [mine - theirs for mine, theirs in zip(found["tpe"], found[HAND], strict=True)]
        lower = sum(one <= 0 for one in differences)
        missed = missed or chance(lower, len(differences)) < 0.01
        print(f"  ours with Optuna less Optuna by hand: median {statistics.median(differences):+.3g}, "
              f"lower or equal in {lower} of {len(differences)} seeds")  # fmt: skip
    if given.json:
        given.json.write_text(json.dumps(kept))
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
