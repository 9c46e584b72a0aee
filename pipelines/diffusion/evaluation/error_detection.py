"""How well a model detects errors in text: fixed windows with fixed errors, for every training. Prints nothing.

Each kind of corruption in ten bins of the ratio over (0, max_corruption_ratio], with ratios spread evenly within each.
The errors depend on eval_iters, block_size, max_corruption_ratio and the text alone: never on seed, batch_size,
corruption_type, its probabilities, its weights or its replacements. So curves of different configs can be compared.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import Tensor, nn

from model.corruption import KINDS, correction_losses, correction_targets, corrupt, corruption, wrong_log_odds
from pipelines.diffusion.evaluation.masked_loss import BINS, middles, variance_of_means
from pipelines.diffusion.evaluation.pieces import Stop, in_pieces, rows_at_once
from pipelines.diffusion.text.windows import elsewhere, even_starts, windows
from pipelines.shared.devices import autocast
from pipelines.shared.errors import InputError

P1, P2 = 0.01, 0.9  # of the runs that are windows about: a few characters to a few words long


@dataclass(frozen=True, slots=True)
class Detection:
    """NaN where no character is wrong, or none is right: then there is nothing to rank."""

    auroc: float  # the probability that a wrong character scores higher than a right one, ties counting half
    average_precision: float  # the mean precision over the wrong characters, from the highest score down
    precision: float  # the fraction of characters called wrong that are wrong; 0 when none is called wrong
    recall: float  # the fraction of wrong characters that are called wrong
    f1: float  # the harmonic mean of the two
    accuracy: float  # the fraction of all characters that are classified correctly
    base_rate: float  # the fraction of wrong characters: the average precision of a guess

    def row(self, prefix: str) -> dict[str, float]:
        return {f"{prefix}{name}": value for name, value in asdict(self).items()}


def detect(scores: Tensor, wrong: Tensor) -> Detection:  # (...) float, (...) bool, on the CPU
    """A score above 0 calls a character wrong; a higher score means more certainty."""
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
    positives = hits[-1].double()  # 0 leads to 0 / 0, which is NaN, as it should be
    recall = starting_at_zero(hits / positives)
    false_alarms = starting_at_zero((called - hits) / (len(wrong) - positives))
    auroc = torch.trapezoid(recall, false_alarms)
    return auroc.item(), (recall.diff() * (hits / called.double())).sum().item()


def starting_at_zero(curve: Tensor) -> Tensor:  # (K,) -> (K + 1,)
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
        """Nats per character of the best guess that knows only the base rate; it repeats what is not wrong."""
        return sum(-p * math.log(p) for p in (self.base_rate, 1 - self.base_rate) if p > 0)


@dataclass(frozen=True, slots=True)
class GroupResults:
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
    train_loss: float  # the same on training text

    @property
    def val_loss(self) -> float:
        return mean(self.losses)

    @property
    def standard_error(self) -> float:
        """Of val_loss as an estimate for the full validation text."""
        return math.sqrt(sum(self.variances)) / len(self.variances)

    @property
    def stage_losses(self) -> list[float]:
        return []  # there is no curriculum

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
    """How much text the fragments of a window are drawn from: two windows, or the rest of the text, at least one."""
    if len(tokens) < 2 * length:
        raise InputError(
            f"the {part} text has {len(tokens)} characters, and a corrector needs two windows of block_size ({length}):"
            " one to read, one as the source of wrong fragments; lower block_size"
        )
    return min(2 * length, len(tokens) - length)


def planted_errors(
    tokens: np.ndarray, frequencies: Tensor, each: int, length: int, most: float, device: torch.device
) -> PlantedErrors:
    """Drawn on the CPU, so that every device is windows the same. Fragments come from the text that is windows about:
    were they from another, one that the network has learned by heart, that would give them away."""
    width = width_elsewhere(tokens, length, "validation")
    spread = even_starts(tokens, BINS * each, length)
    ids, corrupted = [], []
    for group in range(len(KINDS) * BINS):
        kind, ratio_bin = divmod(group, BINS)
        starts = spread[ratio_bin::BINS]  # each bin covers the full text
        ids.append(torch.from_numpy(windows(tokens, starts, length)))
        other = torch.from_numpy(elsewhere(tokens, starts, length, width, np.random.default_rng(group)))
        ratio = (ratio_bin + middles(each)) / BINS * most
        plan = corruption(torch.full((each,), kind), ratio, length, P1, P2)
        corrupted.append(corrupt(ids[-1], plan, frequencies, torch.Generator().manual_seed(group), other))
    return PlantedErrors(torch.cat(ids).to(device), torch.cat(corrupted).to(device), each, most)


def results_of(
    model: nn.Module, windows: PlantedErrors, classes: int, dtype: torch.dtype, stop: Stop
) -> GroupResults | None:
    """The losses and scores of `model`, by group; None when `stop` returned True."""

    def measure(ids: Tensor, corrupted: Tensor) -> tuple[Tensor, Tensor]:
        with autocast(ids.device, dtype):
            logits = model(corrupted)
        targets = correction_targets(ids, corrupted, classes)
        return correction_losses(logits, targets).mean(1), wrong_log_odds(logits)

    rows = rows_at_once(windows.ids.shape[1], classes)
    found = in_pieces(model, (windows.ids, windows.corrupted), rows, stop, measure)
    if found is None:
        return None
    loss = found[0].view(-1, windows.each)  # (groups, each)
    variance = variance_of_means(loss)
    return GroupResults(loss.mean(1).tolist(), variance.tolist(), found[1].cpu())


def evaluate(
    model: nn.Module,
    val: PlantedErrors,
    train: PlantedErrors,
    *,
    classes: int,
    dtype: torch.dtype,
    stop: Stop = lambda: False,
) -> CorrectionEvaluation | None:
    val_results = results_of(model, val, classes, dtype, stop)
    train_results = val_results and results_of(model, train, classes, dtype, stop)
    if val_results is None or train_results is None:
        return None
    scores = val_results.scores.view(len(KINDS), BINS, -1)
    wrong = val.wrong.cpu().view(scores.shape)
    return CorrectionEvaluation(
        losses=val_results.losses,
        variances=val_results.variances,
        overall=detect(scores, wrong),
        kinds=[detect(scores[kind], wrong[kind]) for kind in range(len(KINDS))],
        ratios=[detect(scores[:, i], wrong[:, i]) for i in range(BINS)],
        most=val.most,
        train_loss=mean(train_results.losses),
    )
