"""Evaluate a trained network in stages: clean rows, attacked rows, out-of-distribution rows. Writes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from model.attacks import Ball, fgsm, pgd
from model.feedforward import Feedforward
from pipelines.robustness import detectors, ood
from pipelines.robustness.classifier import outputs
from pipelines.robustness.data import Data, Rows
from pipelines.robustness.detectors import Outputs, Scores
from pipelines.robustness.random_streams import torch_stream
from pipelines.robustness.settings import AttackSettings, RobustnessSettings
from pipelines.shared.metrics import Log, at_most_every

BATCH = 256  # rows that are attacked at once
LOG_SECONDS = 5.0  # seconds between two lines about a long attack


class Stopped(Exception):
    """A signal came during a stage."""


@dataclass(frozen=True, slots=True)
class Attack:
    """Only rows that the network classifies correctly are attacked; with a target, only those of other classes."""

    rows: np.ndarray  # (A,) indices of test rows
    x: np.ndarray  # (A, ...) the adversarial examples
    answers: np.ndarray  # (A,) the predictions for them
    meta: dict[str, Any]  # adv_mask: (A,) bool, the attack succeeded; success_rate: its mean, None if A is 0


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What detectors have to log apart: label 0 for clean test rows, 1 for the others."""

    labels: np.ndarray  # (M,) int8
    sample_id: np.ndarray  # (M,) text
    kind: np.ndarray  # (M,) text: clean, adversarial, or the kind of ood
    scores: Scores  # (M,) each


@dataclass(frozen=True, slots=True)
class Result:
    """The results so far; a later stage adds to an earlier one."""

    data: Data
    answers: np.ndarray  # (N,) predictions for the clean test rows
    thresholds: dict[str, float]
    scores: dict[str, Scores]  # val_clean, test_clean, test_adv, test_ood
    attack_test: Attack | None = None
    eval_adv: Evaluation | None = None
    ood_rows: dict[str, np.ndarray] = field(default_factory=dict)  # kind -> (M, ...)
    eval_ood: Evaluation | None = None
    stage: str = "clean"

    @property
    def right(self) -> np.ndarray:  # (N,) bool
        return self.answers == self.data.test.y


def stages(
    network: Feedforward,
    data: Data,
    settings: RobustnessSettings,
    device: torch.device,
    stop: Callable[[], bool],
    log: Log,
) -> Iterator[Result]:
    """Yield the result after each stage. Raises Stopped if `stop()` returns True during one; `log` gets a line about
    the progress of a long one now and then."""
    evaluator = fit_evaluator(network, data, settings, device)
    val, test = evaluator.outputs(data.val.x), evaluator.outputs(data.test.x)
    scores = {"val_clean": evaluator.score(val), "test_clean": evaluator.score(test)}
    limits = {
        name: detectors.threshold(clean, settings.detector.percentile) for name, clean in scores["val_clean"].items()
    }
    result = Result(data, test.answers, limits, scores)
    yield result

    attack = attack_rows(network, result, settings, device, stop, log)
    found = evaluator.score(evaluator.outputs(attack.x))
    evaluated = attack.meta["adv_mask"] if settings.eval_only_successful_attacks else np.ones(len(attack.rows), bool)
    ids = np.array([f"test-{row:05d}-adv" for row in attack.rows], dtype=str)
    against = {name: values[evaluated] for name, values in found.items()}
    result = replace(
        result,
        attack_test=attack,
        eval_adv=evaluation(scores["test_clean"], against, ids[evaluated], np.full(evaluated.sum(), "adversarial")),
        scores=scores | {"test_adv": found},
        stage="attack",
    )
    yield result

    if settings.ood.enabled:
        made = ood.make(data, settings.ood, settings.seed)
        if stop():
            raise Stopped
        x = np.concatenate(list(made.values()))
        kinds = np.concatenate([np.full(len(rows), kind) for kind, rows in made.items()])
        ids = np.array([f"ood-{kind}-{row:05d}" for kind, rows in made.items() for row in range(len(rows))], dtype=str)
        found = evaluator.score(evaluator.outputs(x))
        result = replace(
            result,
            ood_rows=made,
            eval_ood=evaluation(scores["test_clean"], found, ids, kinds),
            scores=result.scores | {"test_ood": found},
            stage="ood",
        )
        yield result


@dataclass(frozen=True, slots=True)
class Evaluator:
    """The network, and the detectors that were fitted on its outputs for the training rows."""

    outputs: Callable[[np.ndarray], Outputs]  # (N, ...) ->
    score: Callable[[Outputs], Scores]


def fit_evaluator(
    network: Feedforward, data: Data, settings: RobustnessSettings, device: torch.device, only: str | None = None
) -> Evaluator:
    train = outputs(network, data.train.x, device)
    known = detectors.fit(settings.detector, train, data.train.y)
    known = {name: detector for name, detector in known.items() if only in (None, name)}
    return Evaluator(lambda x: outputs(network, x, device), lambda rows: detectors.score(known, rows))


def attack_rows(
    network: Feedforward,
    result: Result,
    settings: RobustnessSettings,
    device: torch.device,
    stop: Callable[[], bool],
    log: Log,
) -> Attack:
    target = target_class(settings)
    rows = np.flatnonzero(result.right & attackable(result.data.test.y, settings))
    x = adversarial(network, result.data, result.data.test.of(rows), settings, device, stop, log)
    answers = outputs(network, x, device).answers
    mask = answers != result.data.test.y[rows] if target is None else answers == target
    rate = float(mask.mean()) if len(mask) else None
    return Attack(rows, x, answers, {"adv_mask": mask, "success_rate": rate})


def adversarial(
    network: Feedforward,
    data: Data,
    clean: Rows,
    settings: RobustnessSettings,
    device: torch.device,
    stop: Callable[[], bool],
    log: Log,
) -> np.ndarray:  # (A, ...)
    attack, progress = settings.attack, at_most_every(LOG_SECONDS, log)
    low, high = (torch.from_numpy(limit).to(device) for limit in (data.low, data.high))
    scale = None if attack.scale is None else torch.tensor(attack.scale, dtype=low.dtype, device=device)
    ball = Ball(attack.norm, attack.eps, low, high, scale)
    target = target_class(settings)
    generator = torch_stream(settings.seed, "random start") if attack.random_start else None
    found = np.empty_like(clean.x)
    for begin in range(0, len(clean), BATCH):
        if stop():
            raise Stopped
        progress(f"attack: {begin:,} of {len(clean):,} rows")
        part = slice(begin, begin + BATCH)
        x, y = torch.from_numpy(clean.x[part]).to(device), torch.from_numpy(clean.y[part]).to(device)
        aim, targeted = (y, False) if target is None else (torch.full_like(y, target), True)
        if attack.name == "fgsm":
            adversarial_x = fgsm(network, x, aim, ball, targeted=targeted)
        else:
            adversarial_x = pgd(
                network, x, aim, ball,
                steps=attack.steps, step_size=step_size(attack), generator=generator, targeted=targeted,
            )  # fmt: skip
        found[part] = adversarial_x.cpu().numpy()
    return found


def step_size(settings: AttackSettings) -> float:
    return settings.step_size if settings.step_size is not None else 2.5 * settings.eps / settings.steps


def attackable(y: np.ndarray, settings: RobustnessSettings) -> np.ndarray:  # (N,) -> (N,) bool
    """The rows that may be attacked, classified correctly or not: the first ones, and with a target those of others."""
    selected = np.arange(len(y)) < (settings.attack.examples or len(y))
    target = target_class(settings)
    return selected if target is None else selected & (y != target)


def target_class(settings: RobustnessSettings) -> int | None:
    """The target among the classes that the network knows, which are numbered without the one that is held out."""
    target, held_out = settings.attack.target, settings.ood.held_out_class
    return target - 1 if target is not None and held_out is not None and held_out < target else target


def evaluation(clean: Scores, against: Scores, ids: np.ndarray, kinds: np.ndarray) -> Evaluation:
    count = len(next(iter(clean.values())))
    return Evaluation(
        np.concatenate((np.zeros(count, np.int8), np.ones(len(ids), np.int8))),
        np.concatenate((np.array([f"test-{row:05d}" for row in range(count)], dtype=str), ids)),
        np.concatenate((np.full(count, "clean"), kinds)),
        {name: np.concatenate((clean[name], against[name])) for name in clean},
    )


@dataclass(frozen=True, slots=True)
class Plane:
    """The predictions of the network and the scores of the chosen detector on a grid of a plane."""

    extent: tuple[float, float, float, float]  # left, right, bottom, top
    answers: np.ndarray  # (H, W)
    score: np.ndarray  # (H, W)


def planes(network: Feedforward, result: Result, settings: RobustnessSettings, device: torch.device) -> list[Plane]:
    """Around the test rows, and around ood rows if there are any; none unless a row has two features."""
    if result.data.shape != (2,):
        return []
    name = settings.detector.name
    evaluator = fit_evaluator(network, result.data, settings, device, only=name)
    groups = [result.data.test.x, *([np.concatenate(list(result.ood_rows.values()))] if result.ood_rows else [])]
    return [plane(evaluator, points, name) for points in groups]


def plane(evaluator: Evaluator, points: np.ndarray, detector: str, side: int = 240) -> Plane:  # points: (N, 2)
    low, high = np.quantile(points, 0.005, axis=0) - 0.3, np.quantile(points, 0.995, axis=0) + 0.3
    grid = np.stack(np.meshgrid(*np.linspace(low, high, side).T), -1)  # (side, side, 2)
    found = evaluator.outputs(grid.reshape(-1, 2).astype(np.float32))
    score = evaluator.score(found)[detector].reshape(side, side)
    return Plane((low[0], high[0], low[1], high[1]), found.answers.reshape(side, side), score)
