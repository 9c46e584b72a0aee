"""Find and load a trained model: from a checkpoint, a job's folder or a batch's. Changes nothing on disk.

Imports torch only when it loads, so that a path can be checked before.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.diffusion.text.vocabulary import Vocabulary, of_checkpoint
from pipelines.shared.errors import Mistake

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from model.transformer import Transformer

CORRECTORS = ("remasking", "remasking_binary")  # training types that learn which characters are wrong
SCHEMA = 1
NAME = re.compile(r"ckpt_([a-z_]+)_(\d+)\.pt")


@dataclass(frozen=True)
class TrainedModel:
    """A trained network as it was saved, fit to be asked."""

    model: Transformer
    vocabulary: Vocabulary
    settings: Mapping[str, Any]  # those of its training, as they stand in the checkpoint
    path: Path
    why: str  # it was this one of several: "" where there was no choice

    @property
    def mask_id(self) -> int:
        return self.vocabulary.size

    @property
    def block_size(self) -> int:
        return self.model.shape.block_size

    @property
    def is_corrector(self) -> bool:
        return self.settings["training_type"] in CORRECTORS

    def predict(self, ids: Tensor) -> Tensor:  # (B, T) -> (B, T, V)
        """Logits; what a text lacks of a window counts as hidden, since training knows whole windows only."""
        from torch.nn import functional as F

        T = ids.shape[1]
        window = F.pad(ids, (0, max(0, self.block_size - T)), value=self.mask_id)
        return self.model(window)[:, :T, : self.vocabulary.size]

    def wrong(self, ids: Tensor) -> Tensor:  # (B, T) -> (B, T)
        """The probability that a character is wrong; a corrector's last class says so."""
        return self.model(ids).float().softmax(-1)[..., -1]


def load_model(path: Path, device: torch.device, *, corrector: bool = False) -> TrainedModel:
    """The model at `path`: a .pt file, the best of a job's folder, or that of a batch's job with the lowest loss.

    Raises Mistake. In a folder, correctors are looked for where one is wanted, and passed over where not.
    """
    found, content, why = _choose(path, corrector)
    model = TrainedModel(_network(found, content, device), of_checkpoint(content), content["settings"], found, why)
    if model.is_corrector != corrector:
        kind = model.settings["training_type"]
        wanted = f"one of {', '.join(CORRECTORS)}" if corrector else "one that predicts characters"
        raise Mistake(f"{found} was trained with training_type '{kind}'; here {wanted} is needed")
    return model


def require_model(path: Path, *, corrector: bool = False) -> None:
    """Raise Mistake when there is nothing to load at `path`, without loading anything."""
    if path.is_file():
        if path.suffix != ".pt":
            raise Mistake(f"{path} is no checkpoint; name a ckpt_*.pt, a job's folder or a batch's")
    elif not path.is_dir():
        raise Mistake(f"{path}: no such file or folder; name a ckpt_*.pt, a job's folder or a batch's")
    elif not _jobs(path, corrector):
        kind = "checkpoint of a corrector (ckpt_remasking*.pt)" if corrector else "checkpoint (ckpt_*.pt)"
        raise Mistake(f"{path} holds no {kind}, and no folder in it does; train a model first")


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
        raise Mistake(f"the jobs in {path} differ in their vocabularies, which no loss compares; name one: {names}")
    found, content, _ = min(best, key=lambda one: one[1]["state"]["best_val_loss"])
    return found, content, f"of {len(best)} jobs that with the lowest validation loss, {_loss(content)}"


def _jobs(folder: Path, corrector: bool) -> list[list[Path]]:
    """The checkpoints, the newest first, of the folder itself, or else of each folder in it that has some."""
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
    # By their numbers: a copy of a folder gives all files one time.
    return sorted(files, key=lambda path: int(NAME.sub(r"\2", path.name)), reverse=True)


def _best(files: Sequence[Path]) -> tuple[Path, dict[str, Any], str]:
    """The best checkpoint of a job by what its newest readable one says; that one itself when the best is gone."""
    reasons = []
    for newest in files:
        try:
            content = _read(newest)
        except Mistake as mistake:
            reasons.append(str(mistake))
            continue
        best = newest.with_name(NAME.sub(rf"ckpt_\1_{content['state'].get('best_iteration')}.pt", newest.name))
        if len(files) == 1:
            return newest, content, ""
        if best not in files:
            return newest, content, f"the newest of {len(files)}"
        content = content if best == newest else _read(best)
        return best, content, f"of {len(files)} that with the lowest validation loss, {_loss(content)}"
    raise Mistake("; ".join(reasons))


def _loss(content: Mapping[str, Any]) -> str:
    return f"{content['state']['best_val_loss']:.4f}"


def _read(path: Path) -> dict[str, Any]:
    """A checkpoint's content; tensors stay on disk until they are used (mmap)."""
    import torch

    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        missing = {"shape", "settings", "model", "state"} - content.keys()
        if not {"vocabulary", "characters"} & content.keys():
            missing.add("vocabulary")
    except Exception as error:  # a damaged file may raise anything: zip, pickle, EOF
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise Mistake(f"{path} cannot be read ({reason}); is it a whole checkpoint?") from error
    if content.get("schema", 0) > SCHEMA:
        raise Mistake(f"{path} was written by a newer version of this program")
    if missing:
        raise Mistake(f"{path} is no checkpoint of a masked-diffusion model: it has no {', '.join(sorted(missing))}")
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
        raise Mistake(f"{path} does not fit this version's network ({reason})") from error
    return model.to(device).eval().requires_grad_(False)
