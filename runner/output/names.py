"""Names of metrics: their canonical form, and whether a larger or a smaller value is better."""

from __future__ import annotations

import re
from functools import lru_cache

TRAIN, VAL = "train/loss", "val/loss"
_TRAINING = r"(?:train(?:ing)?|tr|lm|step|batch)"
_VALIDATION = r"(?:val|valid|validation|eval|evaluation|dev)"
_BETWEEN = r"[ _/.:-]*"
# Patterns as text: they are compiled when the first name is seen, and not when a supervisor starts.
_OF_TRAINING = rf"(?:{_TRAINING}{_BETWEEN})?loss(?:_step)?|loss{_BETWEEN}{_TRAINING}"
_OF_VALIDATION = rf"{_VALIDATION}{_BETWEEN}loss(?:_epoch)?|loss{_BETWEEN}{_VALIDATION}"
_WORDS = r"[A-Z]+(?![a-z])\d*|[A-Z]?[a-z]+\d*|\d+"


def words(*lines: str) -> frozenset[str]:
    return frozenset(" ".join(lines).split())


#: Positions, times and sizes: nothing that a training measures of its model.
IGNORED = words(
    "time eta date data elapsed remaining duration seconds secs sec ms memory mem max_mem gpu_mem gpu_memory",
    "data_time batch_time iter_time step_time time_per_step last_time last_data_time timestamp wall train_wall",
    "v_num pid rank size local_rank world_size seed port loss_scale gb_free wps ups wpb bsz num_updates update",
    "iter iters iteration it batch iterations step steps global_step epoch epochs samples max_iters total",
    "patience counter params parameters cuda gpu device",
)
_NEUTRAL = words(
    "lr learning step steps time seconds norm gnorm grad gradient runtime second samples tokens scale wall mem",
    "memory gpu epoch iter weight decay mfu tps speed throughput count num n size momentum beta eps temperature",
)
_LOWER = words(
    "loss nll ppl perplexity err error errors wer cer mse rmse mae mape smape msle rmsle logloss bpc bpb bpt fid",
    "kid eer ece brier bce ce xent hamming regret lpips deviance",
)
_HIGHER = words(
    "acc accuracy acc1 acc5 top1 top5 prec1 prec5 f1 f1score fbeta auc auroc auprc aucpr ap map bleu sacrebleu",
    "rouge rougel rougelsum meteor chrf cider spice score precision recall iou miou dice psnr ssim r2 mcc",
    "matthews pearson spearman spearmanr kappa reward rewards return success em exact match ndcg mrr hit hits",
    "sensitivity specificity win",
)
_BOUNDS = words("best min max target threshold limit clip prev previous initial init")
_COMMON = words("err error errors score return success match exact hit hits win em map precision recall")


@lru_cache(1024)
def canonical(name: str) -> str:
    """`loss`, `train_loss` -> `train/loss`; `val_loss`, `eval/loss` -> `val/loss`; others as they are."""
    low = name.lower()
    if low.endswith("loss") or low.startswith(("loss", "val", "eval", "step_loss")):
        if re.fullmatch(_OF_TRAINING, low):
            return TRAIN
        if re.fullmatch(_OF_VALIDATION, low):
            return VAL
    return name.strip().replace(" ", "_")


@lru_cache(1024)
def better(name: str) -> str | None:
    """`min`, `max`, or None where neither is known to be better, as of a learning rate."""
    found = {word.lower() for word in re.findall(_WORDS, name.replace("@", ""))}
    found |= {word.rstrip("0123456789") for word in found}
    if found & _NEUTRAL or "best" in found:
        return None
    if found & _LOWER:
        return "min"
    return "max" if found & _HIGHER else None


def is_loss(name: str) -> bool:
    """Whether a value that is not finite means that the training went wrong; not of a limit, or of the best so far."""
    return better(name) == "min" and not _BOUNDS & set(re.split("[ _/.-]", name.lower()))


def is_measured(name: str) -> bool:
    """Whether a name is that of a metric: a loss, an accuracy, …"""
    return better(name) is not None


def is_certain(name: str) -> bool:
    """The same, of a name that other messages do not use as well, as they do `errors` or `return`."""
    return is_measured(name) and not _COMMON & set(re.split("[ _/.-]", name.lower()))


def is_ignored(name: str) -> bool:
    """Whether a name is that of a time, a size or a position."""
    return name.lower() in IGNORED


def shown(name: str) -> str:
    """A name in a sentence: `loss`, `val loss`, `eval_nll`."""
    return {TRAIN: "loss", VAL: "val loss"}.get(name, name)
