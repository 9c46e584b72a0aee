"""The numbers of a result: fractions with confidence intervals, AUROC, success counts. Pure functions."""

from __future__ import annotations

from typing import Any

import numpy as np

from pipelines.robustness.counts import Counts, Share
from pipelines.robustness.evaluation import Attack, Evaluation, Result, attackable
from pipelines.robustness.settings import RobustnessSettings

TARGETED = "attacked test rows: those of other classes than the target that the network classified correctly before"
DENOMINATORS = {
    "adversarial": "attacked test rows, which are those that the network classified correctly before",
    "ood": "rows of all kinds of ood",
}


def success_counts(result: Result | None, settings: RobustnessSettings) -> Counts:
    """Unknown counts are None, and the notes explain why."""
    notes = []
    attack = result.attack_test if result else None
    adversarial = success_fraction(attack.meta["adv_mask"]) if attack else None
    if adversarial is None:
        notes.append(
            "no row was attacked, since the network classified none of them correctly"
            if attack else "the run did not reach its attack"
        )  # fmt: skip
    ood = success_fraction(detected(result, settings)) if result and result.eval_ood else None
    if ood is None:
        notes.append("the run did not reach ood" if settings.ood.enabled else "ood was not run: ood.enabled is false")
    return Counts(adversarial, ood, "; ".join(notes))


def detected(result: Result, settings: RobustnessSettings) -> np.ndarray:  # (M,) bool, of the ood rows
    name = settings.detector.name
    return result.scores["test_ood"][name] >= result.thresholds[name]


def success_fraction(mask: np.ndarray) -> Share | None:  # (N,) bool
    return Share(int(mask.sum()), len(mask)) if len(mask) else None


def fraction_record(found: Share | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {"count": found.success, "of": found.total, "rate": found.rate, "interval_95": list(found.interval)}


def counts_record(found: Counts, settings: RobustnessSettings, result: Result | None) -> dict[str, Any]:
    """The content of success_counts.json."""
    record: dict[str, Any] = {"schema": 1}
    for kind, one in (("adversarial", found.adversarial), ("ood", found.ood)):
        record |= {
            f"{kind}_success": one and one.success,
            f"{kind}_total": one and one.total,
            f"{kind}_rate": one and one.rate,
            f"{kind}_interval_95": one and list(one.interval),
            f"{kind}_denominator": denominator(kind, settings),
        }
    record["ood_by_kind"] = by_kind(result, settings) if result and result.eval_ood else None
    name = settings.detector.name
    record |= {"detector": name, "threshold": result.thresholds[name] if result else None}
    return record | {"notes": found.notes}


def denominator(kind: str, settings: RobustnessSettings) -> str:
    """What the rows of a count are."""
    return TARGETED if kind == "adversarial" and settings.attack.target is not None else DENOMINATORS[kind]


def by_kind(result: Result, settings: RobustnessSettings) -> dict[str, Any]:
    kinds = result.eval_ood.kind[result.eval_ood.labels == 1]
    mask = detected(result, settings)
    return {kind: fraction_record(success_fraction(mask[kinds == kind])) for kind in result.ood_rows}


def metrics_record(result: Result, settings: RobustnessSettings, training: dict[str, Any]) -> dict[str, Any]:
    """The content of metrics.json, for the stages so far."""
    right = result.right
    record: dict[str, Any] = {
        "schema": 1,
        "training": training,
        "test_accuracy": fraction_record(success_fraction(right)),
        "detector": settings.detector.name,
        "thresholds": result.thresholds,
        "false_alarms": {
            name: fraction_record(success_fraction(values >= result.thresholds[name]))
            for name, values in result.scores["test_clean"].items()
        },
    }
    if (attack := result.attack_test) is not None:
        record["attack"] = attack_numbers(attack, result, settings)
        record["adversarial_detection"] = detection(result.eval_adv, result.thresholds)
    if (found := result.eval_ood) is not None:
        record["ood_detection"] = {"all": detection(found, result.thresholds)} | {
            kind: detection(rows_of_kind(found, kind), result.thresholds) for kind in result.ood_rows
        }
    return record


def attack_numbers(attack: Attack, result: Result, settings: RobustnessSettings) -> dict[str, Any]:
    attack_settings = settings.attack
    change = (attack.x - result.data.test.x[attack.rows]).astype(np.float64)
    squared = np.square(change).sum(axis=tuple(range(1, change.ndim)))
    y = result.data.test.y
    robust = Share(int((attack.answers == y[attack.rows]).sum()), int(attackable(y, settings).sum()))
    return {
        **attack_settings.model_dump(),
        "success": fraction_record(success_fraction(attack.meta["adv_mask"])),
        "success_denominator": denominator("adversarial", settings),
        "robust_accuracy": fraction_record(robust),
        "robust_accuracy_denominator": "test rows that could be attacked, classified correctly or not",
        "largest_linf": float(np.abs(change).max()) if change.size else None,
        "largest_l2": float(np.sqrt(squared.max())) if change.size else None,
    }


def rows_of_kind(found: Evaluation, kind: str) -> Evaluation:
    """The clean rows and those of one kind."""
    kept = (found.labels == 0) | (found.kind == kind)
    scores = {name: values[kept] for name, values in found.scores.items()}
    return Evaluation(found.labels[kept], found.sample_id[kept], found.kind[kept], scores)


def detection(found: Evaluation, thresholds: dict[str, float]) -> dict[str, Any]:
    """For each detector: how well it separates label 1 from label 0, and how many rows of label 1 it detects."""
    return {name: separation(found.labels, values, thresholds[name]) for name, values in found.scores.items()}


def separation(labels: np.ndarray, scores: np.ndarray, threshold: float) -> dict[str, Any]:  # (M,), (M,)
    positives = scores[labels == 1]
    both = 0 < len(positives) < len(labels)
    return {
        "auroc": auroc(labels, scores) if both else None,
        "fpr_at_95_tpr": fpr_at_tpr(labels, scores, 0.95) if both else None,
        "detected": fraction_record(success_fraction(positives >= threshold)),
    }


def auroc(labels: np.ndarray, scores: np.ndarray) -> float:
    """The probability that a row of label 1 scores higher than one of label 0 (Mann and Whitney), ties count half."""
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(labels, scores))


def fpr_at_tpr(labels: np.ndarray, scores: np.ndarray, tpr: float) -> float:
    """The false positive rate at the highest threshold with at least this true positive rate."""
    positives = np.sort(scores[labels == 1])[::-1]
    threshold = positives[int(np.ceil(tpr * len(positives) - 1e-9)) - 1]
    return float((scores[labels == 0] >= threshold).mean())
