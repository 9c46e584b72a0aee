"""Ask a corrector the same questions whatever its training was: fixed windows with fixed errors. Prints nothing.

Each kind of corruption in ten bins of the ratio over (0, max_corruption_ratio], the ratios spread evenly within each.
The errors depend on eval_iters, block_size, max_corruption_ratio and the text alone: never on seed, batch_size,
corruption_type, its probabilities, its weights or its replacements. So curves of different configs can be compared.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import Tensor, nn

from model.corruption import KINDS, correction_losses, correction_targets, corrupt, corruption, wrong_log_odds
from pipelines.diffusion.evaluation.masked_loss import BINS, asked_only, middles, rows_at_once, variance_of_means
from pipelines.diffusion.text.windows import elsewhere, even_starts, windows
from pipelines.shared.devices import autocast
from pipelines.shared.errors import Mistake

P1, P2 = 0.01, 0.9  # of the runs that are asked about: a few characters to a few words long


@dataclass(frozen=True, slots=True)
class Detection:
    """Not a number where nothing is wrong (or nothing right) that a ranking could be judged by."""

    auroc: float  # the chance that a wrong character scores higher than a right one, a tie counting half
    average_precision: float  # the mean precision over the wrong characters, from the highest score down
    precision: float  # of those called wrong, the share that is; 0 when none is called so
    recall: float  # of the wrong ones, the share that is called so
    f1: float  # the harmonic mean of the two
    accuracy: float  # the share called what it is, right or wrong
    base_rate: float  # the share of wrong characters: the average precision of a guess

    def row(self, prefix: str) -> dict[str, float]:
        return {f"{prefix}{name}": value for name, value in asdict(self).items()}


def detect(scores: Tensor, wrong: Tensor) -> Detection:  # (...) float, (...) bool, on the CPU
    """Scores above 0 call a character wrong; all higher ones rank it as more surely so."""
    scores, wrong = scores.flatten(), wrong.flatten()
    called, positives = scores > 0, int(wrong.sum())
    hits = int((called & wrong).sum())
    auroc, average_precision = ranking(scores, wrong)
    return Detection(
        auroc=auroc,
        average_precision=average_precision,
        precision=hits / max(1, int(called.sum())),
        recall=hits / positives if positives else math.nan,
        f1=2 * hits / (int(called.sum()) + positives) if positives else math.nan,
        accuracy=(called == wrong).double().mean().item(),
        base_rate=positives / len(wrong),
    )


def ranking(scores: Tensor, wrong: Tensor) -> tuple[float, float]:  # (N,), (N,) bool -> AUROC, average precision
    """Exact: every distinct score is a threshold, ties pass it together.

    The area under the ROC curve by trapezoids, which is the statistic of Mann and Whitney divided by all pairs
    (Fawcett 2006); average precision as the sum of precisions weighted by the steps of the recall, without
    interpolation.
    """
    order = scores.argsort(descending=True)
    ranked = scores[order]
    last_of_tie = torch.cat((ranked[1:] != ranked[:-1], torch.ones(1, dtype=torch.bool)))
    called = last_of_tie.nonzero().flatten() + 1  # characters at or above each threshold
    hits = wrong[order].cumsum(0)[last_of_tie]
    positives = hits[-1].double()  # 0 leads to 0 / 0, which is not a number, as it should be
    recall = begun_at_zero(hits / positives)
    false_alarms = begun_at_zero((called - hits) / (len(wrong) - positives))
    auroc = torch.trapezoid(recall, false_alarms)
    return auroc.item(), (recall.diff() * (hits / called.double())).sum().item()


def begun_at_zero(curve: Tensor) -> Tensor:  # (K,) -> (K + 1,)
    return torch.cat((curve.new_zeros(1), curve))


@dataclass(frozen=True, slots=True)
class PlantedErrors:
    """Groups of `each` windows: the ten bins of the first kind, then those of the second, and so on."""

    ids: Tensor  # (groups * each, T)
    corrupted: Tensor  # (groups * each, T)
    each: int
    most: float  # the largest ratio

    @property
    def wrong(self) -> Tensor:  # -> (groups * each, T) bool
        return self.corrupted != self.ids

    @property
    def base_rate(self) -> float:
        return self.wrong.double().mean().item()

    @property
    def entropy(self) -> float:
        """Nats per character of the best guess that sees nothing but the base rate; it repeats what is not wrong."""
        return sum(-p * math.log(p) for p in (self.base_rate, 1 - self.base_rate) if p > 0)


@dataclass(frozen=True, slots=True)
class Answers:
    losses: list[float]  # one per group, nats per character
    variances: list[float]  # of the losses of a group's windows, divided by their number
    scores: Tensor  # (groups * each, T) log-odds of "wrong", on the CPU


@dataclass(frozen=True, slots=True)
class CorrectionEvaluation:
    losses: list[float]  # one per group, nats per character
    variances: list[float]
    overall: Detection
    kinds: list[Detection]  # over all ratios
    ratios: list[Detection]  # one per bin, over all kinds
    most: float
    train_loss: float  # the same kinds of questions about training text

    @property
    def val_loss(self) -> float:
        return mean(self.losses)

    @property
    def standard_error(self) -> float:
        """Of val_loss as an estimate for the whole validation text."""
        return math.sqrt(sum(self.variances)) / len(self.variances)

    @property
    def stage_losses(self) -> list[float]:
        return []  # a corrector has no curriculum

    def summary(self) -> str:
        kinds = ", ".join(f"{name} {kind.auroc:.3f}" for name, kind in zip(KINDS, self.kinds, strict=True))
        return (
            f"wrong characters: AUROC {self.overall.auroc:.3f} ({kinds}), precision {self.overall.precision:.3f},"
            f" recall {self.overall.recall:.3f}"
        )

    def row(self) -> dict[str, float]:
        """The numbers under the names that metrics.jsonl and wandb show."""
        row = {"val/loss": self.val_loss, "val/loss_stderr": self.standard_error, "train/eval_loss": self.train_loss}
        row |= self.overall.row("val/")
        for number, (name, kind) in enumerate(zip(KINDS, self.kinds, strict=True)):
            row[f"val/{name}_loss"] = mean(self.losses[number * BINS : (number + 1) * BINS])
            row |= kind.row(f"val/{name}_")
        for i, ratio in enumerate(self.ratios):
            name = f"val/ratio_{self.most * i / BINS:.3g}_{self.most * (i + 1) / BINS:.3g}"
            row |= {f"{name}_loss": mean(self.losses[i::BINS]), f"{name}_auroc": ratio.auroc}
        return row


def mean(numbers: Sequence[float]) -> float:
    return sum(numbers) / len(numbers)


def width_elsewhere(tokens: np.ndarray, length: int, part: str) -> int:
    """How much text a window's fragments are taken from: two windows, or what there is beside it, at least one."""
    if len(tokens) < 2 * length:
        raise Mistake(
            f"the {part} text has {len(tokens)} characters, and a corrector needs two windows of block_size ({length}):"
            " one to read, one to take wrong fragments from; lower block_size"
        )
    return min(2 * length, len(tokens) - length)


def planted_errors(
    tokens: np.ndarray, frequencies: Tensor, each: int, length: int, most: float, device: torch.device
) -> PlantedErrors:
    """Drawn on the CPU, so that every device is asked the same. Fragments come from the text that is asked about:
    were they from another, one that the network has learned by heart, that would give them away."""
    width = width_elsewhere(tokens, length, "validation")
    spread = even_starts(tokens, BINS * each, length)
    ids, corrupted = [], []
    for group in range(len(KINDS) * BINS):
        kind, ratio_bin = divmod(group, BINS)
        starts = spread[ratio_bin::BINS]  # each bin sees the whole of the text
        ids.append(torch.from_numpy(windows(tokens, starts, length)))
        other = torch.from_numpy(elsewhere(tokens, starts, length, width, np.random.default_rng(group)))
        ratio = (ratio_bin + middles(each)) / BINS * most
        plan = corruption(torch.full((each,), kind), ratio, length, P1, P2)
        corrupted.append(corrupt(ids[-1], plan, frequencies, torch.Generator().manual_seed(group), other))
    return PlantedErrors(torch.cat(ids).to(device), torch.cat(corrupted).to(device), each, most)


def answer(
    model: nn.Module, asked: PlantedErrors, classes: int, dtype: torch.dtype, stop: Callable[[], bool]
) -> Answers | None:
    """What `model` makes of the questions; None when `stop` said so on the way."""
    losses, scores = [], []
    rows = rows_at_once(asked.ids.shape[1], classes)
    with asked_only(model):
        for ids, corrupted in zip(asked.ids.split(rows), asked.corrupted.split(rows), strict=True):
            if stop():
                return None
            with autocast(ids.device, dtype):
                logits = model(corrupted)
            targets = correction_targets(ids, corrupted, classes)
            losses.append(correction_losses(logits, targets).mean(1))
            scores.append(wrong_log_odds(logits))
    loss = torch.cat(losses).view(-1, asked.each)  # (groups, each)
    variance = variance_of_means(loss)
    return Answers(loss.mean(1).tolist(), variance.tolist(), torch.cat(scores).cpu())


def evaluate(
    model: nn.Module,
    val: PlantedErrors,
    train: PlantedErrors,
    *,
    classes: int,
    dtype: torch.dtype,
    stop: Callable[[], bool] = lambda: False,
) -> CorrectionEvaluation | None:
    answers = answer(model, val, classes, dtype, stop)
    train_answers = answers and answer(model, train, classes, dtype, stop)
    if answers is None or train_answers is None:
        return None
    scores = answers.scores.view(len(KINDS), BINS, -1)
    wrong = val.wrong.cpu().view(scores.shape)
    return CorrectionEvaluation(
        losses=answers.losses,
        variances=answers.variances,
        overall=detect(scores, wrong),
        kinds=[detect(scores[kind], wrong[kind]) for kind in range(len(KINDS))],
        ratios=[detect(scores[:, i], wrong[:, i]) for i in range(BINS)],
        most=val.most,
        train_loss=mean(train_answers.losses),
    )
