"""Evaluate a classifier: loss and accuracy during training, and measures of its layers at the end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from model.classifiers import Classifier, jensen_shannon
from pipelines.classify.layer_analysis import cka, participation_ratio, probe_accuracy

ROWS = 2048  # images in a forward pass
PROBE_IMAGES = 10_000  # training images for a probe


@dataclass(frozen=True, slots=True)
class Split:
    """Images and labels on the device of the network."""

    x: Tensor  # (N, inputs) float32, 0 to 1
    y: Tensor  # (N,) int64

    def first(self, count: int) -> Split:
        return Split(self.x[:count], self.y[:count])


@dataclass(frozen=True, slots=True)
class EvaluationResult:
    """Of the layers that predict: every layer of a greedy network, the last one of an MLP."""

    losses: list[float]  # nats per image
    accuracies: list[float]
    confusion: list[list[int]]  # of the last layer: [truth][prediction]

    @property
    def loss(self) -> float:
        return self.losses[-1]

    @property
    def accuracy(self) -> float:
        return self.accuracies[-1]

    def row(self) -> dict[str, float]:
        """The numbers under the names that metrics.jsonl and wandb show."""
        row = {"val/loss": self.loss, "val/accuracy": self.accuracy}
        if len(self.losses) > 1:
            for number, (loss, accuracy) in enumerate(zip(self.losses, self.accuracies, strict=True), 1):
                row |= {f"val/loss_layer_{number}": loss, f"val/accuracy_layer_{number}": accuracy}
        return row


@torch.no_grad()
def predictions(model: Classifier, x: Tensor) -> list[Tensor]:  # (N, inputs) -> log q, (N, C) each
    parts = [model.predictions(rows) for rows in x.split(ROWS)]
    return [torch.cat(layer) for layer in zip(*parts, strict=True)]


@torch.no_grad()
def activations(model: Classifier, x: Tensor) -> list[Tensor]:  # (N, inputs) -> (N, width) each, float64, on the CPU
    parts = [[h.cpu().double() for h in model.activations(rows)] for rows in x.split(ROWS)]
    return [torch.cat(layer) for layer in zip(*parts, strict=True)]


def evaluate(model: Classifier, split: Split) -> EvaluationResult:
    outputs = predictions(model, split.x)
    classes = outputs[-1].shape[1]
    pairs = split.y * classes + outputs[-1].argmax(1)
    return EvaluationResult(
        [F.nll_loss(log_q, split.y).item() for log_q in outputs],
        [(log_q.argmax(1) == split.y).sum().item() / len(split.y) for log_q in outputs],
        pairs.bincount(minlength=classes**2).view(classes, classes).tolist(),
    )


def layers_of(model: Classifier, result: EvaluationResult, train: Split, val: Split) -> dict[str, Any]:
    """The numbers for the research questions: a row for each layer, and the similarity of layers."""
    learned = activations(model, train.first(PROBE_IMAGES).x)
    found = activations(model, val.x)
    labels = train.first(PROBE_IMAGES).y.cpu(), val.y.cpu()
    outputs = predictions(model, val.x)
    rows = []
    for index, (before, now) in enumerate(zip(learned, found, strict=True)):
        row: dict[str, Any] = {
            "layer": index + 1,
            "probe_accuracy": probe_accuracy(before, labels[0], now, labels[1], model.shape.classes),
            "participation_ratio": participation_ratio(now),
        }
        if len(outputs) == len(found):  # each layer predicts
            row |= {"accuracy": result.accuracies[index], "loss": result.losses[index]}
            if index + 1 < len(outputs):
                row["js_to_next"] = jensen_shannon(outputs[index], outputs[index + 1]).mean().item()
        rows.append(row)
    return {"layers": rows, "cka": [[cka(one, other) for other in found] for one in found]}
