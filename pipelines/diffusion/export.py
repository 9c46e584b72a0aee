"""Write a trained model for other programs: model.safetensors, config.json. Knows no training.

safetensors is a header of JSON, its length before it as eight bytes, and the tensors one after the other, little-endian
(https://github.com/huggingface/safetensors); it is so simple that it is written here without the package.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from pipelines.diffusion.sampling.load import TrainedModel, load_model
from pipelines.shared.errors import InputError
from runner.disk import atomic

DTYPES = {torch.float32: "F32", torch.bfloat16: "BF16", torch.float16: "F16"}
ALIGNMENT = 8  # bytes, of the header


def export(path: Path, out: Path, dtype: torch.dtype, *, corrector: bool = False) -> TrainedModel:
    """The model at `path` as two files in the folder `out`. Raises InputError."""
    model = load_model(path, torch.device("cpu"), corrector=corrector)
    tensors = {name: tensor.to(dtype) for name, tensor in model.model.state_dict().items()}
    try:
        out.mkdir(parents=True, exist_ok=True)
        atomic.write_bytes(out / "model.safetensors", safetensors(tensors, {"format": "pt"}))
        atomic.write_bytes(out / "config.json", json.dumps(config_of(model), indent=1, ensure_ascii=False).encode())
    except OSError as error:
        raise InputError(f"cannot write into {out}: {error.strerror or error}") from error
    return model


def safetensors(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    header: dict[str, object] = {"__metadata__": dict(metadata)}
    content, end = [], 0
    for name, tensor in tensors.items():
        data = tensor.contiguous().view(-1).view(torch.uint8).numpy().tobytes()
        header[name] = {
            "dtype": DTYPES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [end, end + len(data)]
        }  # fmt: skip
        content.append(data)
        end += len(data)
    written = json.dumps(header).encode()
    written += b" " * (-len(written) % ALIGNMENT)
    return b"".join([len(written).to_bytes(8, "little"), written, *content])


def config_of(model: TrainedModel) -> dict[str, object]:
    """What another program needs beside the weights: docs/export.md explains it."""
    return {
        "schema": 1,
        "model_type": "overnight_transformer",
        "training_type": model.settings["training_type"],
        **dataclasses.asdict(model.model.shape),
        "mask_token_id": model.mask_id,
        "vocabulary": model.vocabulary.pack(),
        "checkpoint": str(model.path),
    }
