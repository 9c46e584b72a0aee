"""How well scores tell wrong characters from right ones. Knows scores and labels only, no network and no text."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import torch
from torch import Tensor


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
