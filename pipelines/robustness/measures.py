"""What a result comes to in numbers: shares with intervals, AUROC, and the counts of success. Pure functions."""

from __future__ import annotations

from typing import Any

import numpy as np

from pipelines.robustness.counts import Counts, Share
from pipelines.robustness.settings import RobustnessSettings
from pipelines.robustness.study import Attack, Evaluation, Result

DENOMINATORS = {
    "adversarial": "attacked test rows, which are those that the network classified rightly before",
    "ood": "rows of all kinds of ood",
}


def counts(result: Result | None, settings: RobustnessSettings) -> Counts:
    """What is not known is None, and the notes say why."""
    notes = []
    attack = result.attack_test if result else None
    adversarial = share(attack.meta["adv_mask"]) if attack else None
    if adversarial is None:
        notes.append(
            "no row was attacked, since the network classified none of them rightly"
            if attack else "the run did not come to its attack"
        )  # fmt: skip
    ood = share(detected(result, settings)) if result and result.eval_ood else None
    if ood is None:
        notes.append("the run did not come to ood" if settings.ood.enabled else "ood was not run: ood.enabled is false")
    return Counts(adversarial, ood, "; ".join(notes))


def detected(result: Result, settings: RobustnessSettings) -> np.ndarray:  # (M,) bool, of the ood rows
    name = settings.detector.name
    return result.scores["test_ood"][name] >= result.thresholds[name]


def share(mask: np.ndarray) -> Share | None:  # (N,) bool
    return Share(int(mask.sum()), len(mask)) if len(mask) else None


def described(found: Share | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {"count": found.success, "of": found.total, "rate": found.rate, "interval_95": list(found.interval)}


def counted(found: Counts, settings: RobustnessSettings, result: Result | None) -> dict[str, Any]:
    """The content of success_counts.json."""
    record: dict[str, Any] = {"schema": 1}
    for kind, one in (("adversarial", found.adversarial), ("ood", found.ood)):
        record |= {
            f"{kind}_success": one and one.success,
            f"{kind}_total": one and one.total,
            f"{kind}_rate": one and one.rate,
            f"{kind}_interval_95": one and list(one.interval),
            f"{kind}_denominator": DENOMINATORS[kind],
        }
    record["ood_by_kind"] = by_kind(result, settings) if result and result.eval_ood else None
    name = settings.detector.name
    record |= {"detector": name, "threshold": result.thresholds[name] if result else None}
    return record | {"notes": found.notes}


def by_kind(result: Result, settings: RobustnessSettings) -> dict[str, Any]:
    kinds = result.eval_ood.kind[result.eval_ood.labels == 1]
    mask = detected(result, settings)
    return {kind: described(share(mask[kinds == kind])) for kind in result.ood_rows}


def summarised(result: Result, settings: RobustnessSettings, training: dict[str, Any]) -> dict[str, Any]:
    """The content of metrics.json, as far as the run has come."""
    right = result.right
    record: dict[str, Any] = {
        "schema": 1,
        "training": training,
        "test_accuracy": described(share(right)),
        "detector": settings.detector.name,
        "thresholds": result.thresholds,
        "false_alarms": {
            name: described(share(values >= result.thresholds[name]))
            for name, values in result.scores["test_clean"].items()
        },
    }
    if (attack := result.attack_test) is not None:
        record["attack"] = attack_numbers(attack, result, settings)
        record["adversarial_detection"] = detection(result.eval_adv, result.thresholds)
    if (found := result.eval_ood) is not None:
        record["ood_detection"] = {"all": detection(found, result.thresholds)} | {
            kind: detection(only(found, kind), result.thresholds) for kind in result.ood_rows
        }
    return record


def attack_numbers(attack: Attack, result: Result, settings: RobustnessSettings) -> dict[str, Any]:
    asked = settings.attack
    moved = (attack.x - result.data.test.x[attack.rows]).astype(np.float64)
    squared = np.square(moved).sum(axis=tuple(range(1, moved.ndim)))
    tried = min(asked.examples or len(result.right), len(result.right))
    robust = Share(int((~attack.meta["adv_mask"]).sum()), tried)
    return {
        **asked.model_dump(),
        "success": described(share(attack.meta["adv_mask"])),
        "success_denominator": DENOMINATORS["adversarial"],
        "robust_accuracy": described(robust),
        "robust_accuracy_denominator": "test rows that could be attacked, rightly classified or not",
        "largest_linf": float(np.abs(moved).max()) if moved.size else None,
        "largest_l2": float(np.sqrt(squared.max())) if moved.size else None,
    }


def only(found: Evaluation, kind: str) -> Evaluation:
    """The clean rows and those of one kind."""
    kept = (found.labels == 0) | (found.kind == kind)
    scores = {name: values[kept] for name, values in found.scores.items()}
    return Evaluation(found.labels[kept], found.sample_id[kept], found.kind[kept], scores)


def detection(found: Evaluation, thresholds: dict[str, float]) -> dict[str, Any]:
    """Of each detector: how well it tells label 1 from label 0, and how many of label 1 it notices."""
    return {name: told_apart(found.labels, values, thresholds[name]) for name, values in found.scores.items()}


def told_apart(labels: np.ndarray, scores: np.ndarray, threshold: float) -> dict[str, Any]:  # (M,), (M,)
    positives = scores[labels == 1]
    both = 0 < len(positives) < len(labels)
    return {
        "auroc": auroc(labels, scores) if both else None,
        "fpr_at_95_tpr": fpr_at_tpr(labels, scores, 0.95) if both else None,
        "detected": described(share(positives >= threshold)),
    }


def auroc(labels: np.ndarray, scores: np.ndarray) -> float:
    """The chance that a row of label 1 scores higher than one of label 0, a tie counting half (Mann and Whitney)."""
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(labels, scores))


def fpr_at_tpr(labels: np.ndarray, scores: np.ndarray, tpr: float) -> float:
    """The share of label 0 at or above the highest threshold at or above which this share of label 1 lies."""
    positives = np.sort(scores[labels == 1])[::-1]
    threshold = positives[int(np.ceil(tpr * len(positives) - 1e-9)) - 1]
    return float((scores[labels == 0] >= threshold).mean())
