"""What is done to a trained network, stage by stage: clean rows, attacked rows, rows from elsewhere. Writes nothing."""

from __future__ import annotations

import time
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
from pipelines.shared.metrics import Log

BATCH = 256  # rows that are attacked at once
NEWS = 5.0  # seconds between two lines about a long attack


class Stopped(Exception):
    """A signal came while a stage was under way."""


@dataclass(frozen=True, slots=True)
class Attack:
    """Only rows that the network gets right are attacked: of the others there is nothing to be won."""

    rows: np.ndarray  # (A,) which test rows
    x: np.ndarray  # (A, ...) the adversarial examples
    answers: np.ndarray  # (A,) what the network says of them
    meta: dict[str, Any]  # adv_mask: (A,) bool, where the answer is wrong now; success_rate: its mean, None if A is 0


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What detectors have to tell apart: label 0 for clean test rows, 1 for the others."""

    labels: np.ndarray  # (M,) int8
    sample_id: np.ndarray  # (M,) text
    kind: np.ndarray  # (M,) text: clean, adversarial, or the kind of ood
    scores: Scores  # (M,) each


@dataclass(frozen=True, slots=True)
class Result:
    """What is known so far; a later stage adds to an earlier one."""

    data: Data
    answers: np.ndarray  # (N,) of the clean test rows
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
    tell: Log,
) -> Iterator[Result]:
    """Yields after each stage. Raises Stopped where `stop()` is true before the next one has ended; `tell` hears how
    far a long one has come."""
    judge = fitted(network, data, settings, device)
    val, test = judge.outputs(data.val.x), judge.outputs(data.test.x)
    scores = {"val_clean": judge.score(val), "test_clean": judge.score(test)}
    limits = {
        name: detectors.threshold(clean, settings.detector.percentile) for name, clean in scores["val_clean"].items()
    }
    result = Result(data, test.answers, limits, scores)
    yield result

    attack = attacked(network, result, settings, device, stop, tell)
    found = judge.score(judge.outputs(attack.x))
    judged = attack.meta["adv_mask"] if settings.eval_only_successful_attacks else np.ones(len(attack.rows), bool)
    ids = np.array([f"test-{row:05d}-adv" for row in attack.rows], dtype=str)
    against = {name: values[judged] for name, values in found.items()}
    result = replace(
        result,
        attack_test=attack,
        eval_adv=evaluation(scores["test_clean"], against, ids[judged], np.full(judged.sum(), "adversarial")),
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
        found = judge.score(judge.outputs(x))
        result = replace(
            result,
            ood_rows=made,
            eval_ood=evaluation(scores["test_clean"], found, ids, kinds),
            scores=result.scores | {"test_ood": found},
            stage="ood",
        )
        yield result


@dataclass(frozen=True, slots=True)
class Judge:
    """The network and the detectors that were fitted on what it says of the training rows."""

    outputs: Callable[[np.ndarray], Outputs]  # (N, ...) ->
    score: Callable[[Outputs], Scores]


def fitted(
    network: Feedforward, data: Data, settings: RobustnessSettings, device: torch.device, only: str | None = None
) -> Judge:
    train = outputs(network, data.train.x, device)
    known = detectors.fit(settings.detector, train, data.train.y)
    known = {name: detector for name, detector in known.items() if only in (None, name)}
    return Judge(lambda x: outputs(network, x, device), lambda rows: detectors.score(known, rows))


def attacked(
    network: Feedforward,
    result: Result,
    settings: RobustnessSettings,
    device: torch.device,
    stop: Callable[[], bool],
    tell: Log,
) -> Attack:
    wanted = np.arange(len(result.right)) < (settings.attack.examples or len(result.right))
    rows = np.flatnonzero(result.right & wanted)
    x = adversarial(network, result.data, result.data.test.of(rows), settings, device, stop, tell)
    answers = outputs(network, x, device).answers
    mask = answers != result.data.test.y[rows]
    rate = float(mask.mean()) if len(mask) else None
    return Attack(rows, x, answers, {"adv_mask": mask, "success_rate": rate})


def adversarial(
    network: Feedforward,
    data: Data,
    clean: Rows,
    settings: RobustnessSettings,
    device: torch.device,
    stop: Callable[[], bool],
    tell: Log,
) -> np.ndarray:  # (A, ...)
    asked, told = settings.attack, time.monotonic()
    ball = Ball(asked.norm, asked.eps, *(torch.from_numpy(limit).to(device) for limit in (data.low, data.high)))
    generator = torch_stream(settings.seed, "random start") if asked.random_start else None
    found = np.empty_like(clean.x)
    for begin in range(0, len(clean), BATCH):
        if stop():
            raise Stopped
        if time.monotonic() - told > NEWS:
            tell(f"attack: {begin:,} of {len(clean):,} rows")
            told = time.monotonic()
        part = slice(begin, begin + BATCH)
        x, y = torch.from_numpy(clean.x[part]).to(device), torch.from_numpy(clean.y[part]).to(device)
        if asked.name == "fgsm":
            moved = fgsm(network, x, y, ball)
        else:
            moved = pgd(network, x, y, ball, steps=asked.steps, step_size=step_size(asked), generator=generator)
        found[part] = moved.cpu().numpy()
    return found


def step_size(settings: AttackSettings) -> float:
    return settings.step_size if settings.step_size is not None else 2.5 * settings.eps / settings.steps


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
    """What the network and the deciding detector say of the points of a plane, on a grid."""

    extent: tuple[float, float, float, float]  # left, right, bottom, top
    answers: np.ndarray  # (H, W)
    score: np.ndarray  # (H, W)


def planes(network: Feedforward, result: Result, settings: RobustnessSettings, device: torch.device) -> list[Plane]:
    """Around the test rows, and around those from elsewhere if there are any; none where a row has not two features."""
    if result.data.shape != (2,):
        return []
    name = settings.detector.name
    judge = fitted(network, result.data, settings, device, only=name)
    groups = [result.data.test.x, *([np.concatenate(list(result.ood_rows.values()))] if result.ood_rows else [])]
    return [plane(judge, points, name) for points in groups]


def plane(judge: Judge, points: np.ndarray, detector: str, side: int = 240) -> Plane:  # points: (N, 2)
    low, high = np.quantile(points, 0.005, axis=0) - 0.3, np.quantile(points, 0.995, axis=0) + 0.3
    grid = np.stack(np.meshgrid(*np.linspace(low, high, side).T), -1)  # (side, side, 2)
    found = judge.outputs(grid.reshape(-1, 2).astype(np.float32))
    score = judge.score(found)[detector].reshape(side, side)
    return Plane((low[0], high[0], low[1], high[1]), found.answers.reshape(side, side), score)
