"""Find and load a trained model: from a checkpoint, the folder of a job or of a batch. Changes nothing on disk.

Imports torch only to load, so that a path can be checked before.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.diffusion.text.vocabulary import Vocabulary, of_checkpoint
from pipelines.shared.errors import InputError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from model.block_diffusion import Past
    from model.transformer import Transformer

CORRECTORS = ("remasking", "remasking_binary")  # training types of error-detection models
NAME = re.compile(r"ckpt_([a-z_]+)_(\d+)\.pt")


@dataclass(frozen=True)
class TrainedModel:
    """A trained network, ready for predictions."""

    model: Transformer
    vocabulary: Vocabulary
    settings: Mapping[str, Any]  # of its training, from the checkpoint
    path: Path
    why: str  # it was chosen; "" where there was no choice
    text_sha256: str | None = None  # of the text that it was trained on

    @property
    def mask_id(self) -> int:
        return self.vocabulary.size

    @property
    def block_size(self) -> int:
        return self.model.shape.block_size

    @property
    def is_corrector(self) -> bool:
        return self.settings["training_type"] in CORRECTORS

    @property
    def is_autoregressive(self) -> bool:
        return self.settings["training_type"] == "ar"

    @property
    def is_in_blocks(self) -> bool:
        return self.block_length > 0

    @property
    def block_length(self) -> int:
        """Of block diffusion; 0 for any other model."""
        return self.model.shape.block_length

    def predict_block(self, ids: Tensor, past: Past) -> tuple[Tensor, Past]:
        """Logits of a block of block diffusion after finished ones, and what is kept of all of them."""
        from model.block_diffusion import continued

        return continued(self.model, ids, past)

    def predict(self, ids: Tensor) -> Tensor:  # (B, T) -> (B, T, V)
        """Logits; a text shorter than the window is padded with masks, since training has full windows only.

        Those of an autoregressive model depend on what is to the left of each position alone.
        """
        from torch.nn import functional as F

        T = ids.shape[1]
        if self.is_autoregressive:
            return self.model(F.pad(ids[:, :-1], (1, 0), value=self.mask_id))
        window = F.pad(ids, (0, max(0, self.block_size - T)), value=self.mask_id)
        return self.model(window)[:, :T, : self.vocabulary.size]

    def wrong(self, ids: Tensor) -> Tensor:  # (B, T) -> (B, T)
        """The probability that a character is wrong: the last class of an error-detection model."""
        return self.model(ids).float().softmax(-1)[..., -1]


def load_model(path: Path, device: torch.device, *, corrector: bool = False) -> TrainedModel:
    """The model at `path`: a .pt file, the best of a job's folder, or that of the job of a batch with the lowest loss.

    Raises InputError. In a folder, only checkpoints of the requested kind count.
    """
    found, content, why = _choose(path, corrector)
    model = TrainedModel(
        _network(found, content, device), of_checkpoint(content), content["settings"], found, why,
        content.get("text_sha256"),
    )  # fmt: skip
    if model.is_corrector != corrector:
        kind = model.settings["training_type"]
        needed = f"one of {', '.join(CORRECTORS)}" if corrector else "one that predicts characters"
        raise InputError(f"{found} was trained with training_type '{kind}'; here {needed} is needed")
    return model


def require_model(path: Path, *, corrector: bool = False) -> None:
    """Raise InputError when there is nothing to load at `path`, without loading anything."""
    if path.is_file():
        if path.suffix != ".pt":
            raise InputError(f"{path} is not a checkpoint; name a ckpt_*.pt, a job's folder or a batch's")
    elif not path.is_dir():
        raise InputError(f"{path}: no such file or folder; name a ckpt_*.pt, a job's folder or a batch's")
    elif not _jobs(path, corrector):
        kind = "checkpoint of a corrector (ckpt_remasking*.pt)" if corrector else "checkpoint (ckpt_*.pt)"
        raise InputError(f"{path} has no {kind}, nor has any folder in it; train a model first")


def _choose(path: Path, corrector: bool) -> tuple[Path, dict[str, Any], str]:
    require_model(path, corrector=corrector)
    if path.is_file():
        return path, _read(path), ""
    jobs = _jobs(path, corrector)
    if len(jobs) == 1:
        return _best(jobs[0])
    best = [_best(files) for files in jobs]
    if any(of_checkpoint(content) != of_checkpoint(best[0][1]) for _, content, _ in best):
        names = ", ".join(found.parent.name for found, _, _ in best)
        raise InputError(
            f"the jobs in {path} differ in their vocabularies, so their losses cannot be compared; name one: {names}"
        )
    found, content, _ = min(best, key=lambda one: one[1]["state"]["best_val_loss"])
    return found, content, f"the lowest validation loss of {len(best)} jobs, {_loss(content)}"


def _jobs(folder: Path, corrector: bool) -> list[list[Path]]:
    """The checkpoints, the latest first, of the folder itself, or else of each folder in it that has some."""
    for folders in ([folder], sorted(path for path in folder.iterdir() if path.is_dir())):
        jobs = [files for one in folders if (files := _checkpoints(one, corrector))]
        if jobs:
            return jobs
    return []


def _checkpoints(folder: Path, corrector: bool) -> list[Path]:
    files = [
        path
        for path in folder.iterdir()
        if (name := NAME.fullmatch(path.name)) and (name[1] in CORRECTORS) == corrector
    ]
    # By their numbers: in a copied folder all files may have the same time.
    return sorted(files, key=lambda path: int(NAME.sub(r"\2", path.name)), reverse=True)


def _best(files: Sequence[Path]) -> tuple[Path, dict[str, Any], str]:
    """The best checkpoint of a job, as its latest readable one records it; the latest one when the best is gone."""
    reasons = []
    for latest in files:
        try:
            content = _read(latest)
        except InputError as error:
            reasons.append(str(error))
            continue
        best = latest.with_name(NAME.sub(rf"ckpt_\1_{content['state'].get('best_iteration')}.pt", latest.name))
        if len(files) == 1:
            return latest, content, ""
        if best not in files:
            return latest, content, f"the latest of {len(files)} checkpoints"
        content = content if best == latest else _read(best)
        return best, content, f"the lowest validation loss of {len(files)} checkpoints, {_loss(content)}"
    raise InputError("; ".join(reasons))


def _loss(content: Mapping[str, Any]) -> str:
    return f"{content['state']['best_val_loss']:.4f}"


def _read(path: Path) -> dict[str, Any]:
    """A checkpoint's content; tensors stay on disk until they are used (mmap)."""
    from pipelines.shared import checkpoints

    try:
        content = checkpoints.read(path, mmap=True)
    except checkpoints.Damaged as error:
        raise InputError(f"{path} cannot be read ({error}); is it a complete checkpoint?") from error
    missing = {"shape", "settings", "model", "state"} - content.keys()
    if not {"vocabulary", "characters"} & content.keys():
        missing.add("vocabulary")
    if missing:
        raise InputError(
            f"{path} is not a checkpoint of a masked-diffusion model: it does not have {', '.join(sorted(missing))}"
        )
    return content


def _network(path: Path, content: Mapping[str, Any], device: torch.device) -> Transformer:
    """The network with its averaged weights where the checkpoint has them, else with those of the last step."""
    from model.transformer import Shape, Transformer

    try:
        model = Transformer(Shape(**content["shape"]))
        model.load_state_dict(content["model"])
        averaged = model.load_state_dict(content.get("ema") or {}, strict=False)
        if averaged.unexpected_keys:
            raise RuntimeError(f"unknown averages: {', '.join(averaged.unexpected_keys[:3])}")
    except (TypeError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{path} does not fit this version's network ({reason})") from error
    return model.to(device).eval().requires_grad_(False)
