"""The figures of one simulation, as PNG files. Draws without a display, and computes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pipelines.classify.comparison import Run, labels
from pipelines.shared.plotting import save

Rows = Sequence[Mapping[str, Any]]


def figure(columns: int = 1, height: float = 4.0) -> tuple[Figure, list[Axes]]:
    drawn = Figure(figsize=(6.0 * columns, height), layout="constrained")
    return drawn, list(drawn.subplots(1, columns, squeeze=False)[0])


def series(rows: Rows, key: str) -> tuple[list[int], list[float]]:
    """Iterations and values of the rows that have `key`; of two rows for one iteration the later one counts."""
    points = {row["iter"]: row[key] for row in rows if row.get(key) is not None}
    return sorted(points), [points[iteration] for iteration in sorted(points)]


def curves(rows: Rows, out_dir: Path) -> Path:
    """Loss, accuracy and learning rate over the training."""
    drawn, (loss, accuracy, rate) = figure(3)
    loss.plot(*series(rows, "train/loss"), label="training batches", alpha=0.6)
    loss.plot(*series(rows, "val/loss"), label="validation", marker=".")
    loss.set(title="loss", xlabel="iteration", ylabel="nats per image", yscale="log")
    loss.legend()
    accuracy.plot(*series(rows, "val/accuracy"), marker=".")
    accuracy.set(title="validation accuracy", xlabel="iteration", ylabel="accuracy")
    rate.plot(*series(rows, "lr"))
    rate.set(title="learning rate", xlabel="iteration")
    return save(drawn, out_dir / "curves.png")


def confusion(matrix: Sequence[Sequence[int]], out_dir: Path) -> Path:
    """Counts of (truth, prediction); the colour is the fraction of the row."""
    drawn, (axes,) = figure(height=5.0)
    fractions = [[count / max(1, sum(row)) for count in row] for row in matrix]
    drawn.colorbar(axes.imshow(fractions, cmap="Blues", vmin=0, vmax=1), ax=axes, label="fraction of the class")
    for truth, row in enumerate(matrix):
        for prediction, count in enumerate(row):
            if count:
                colour = "white" if fractions[truth][prediction] > 0.5 else "black"
                axes.text(prediction, truth, str(count), ha="center", va="center", color=colour, fontsize=8)
    classes = range(len(matrix))
    axes.set(title="confusion", xlabel="prediction", ylabel="truth", xticks=classes, yticks=classes)
    return save(drawn, out_dir / "confusion.png")


def accuracy_by_layer(rows: Rows, layers: Rows, out_dir: Path) -> Path:
    """During training if each layer predicts; otherwise of a linear probe after training."""
    drawn, (axes,) = figure()
    if "accuracy" in layers[-1]:
        for layer in layers:
            axes.plot(*series(rows, f"val/accuracy_layer_{layer['layer']}"), label=f"layer {layer['layer']}")
        axes.set(title="validation accuracy by layer", xlabel="iteration", ylabel="accuracy")
        axes.legend()
    else:
        axes.bar([str(layer["layer"]) for layer in layers], [layer["probe_accuracy"] for layer in layers])
        axes.set(title="validation accuracy of a linear probe by layer", xlabel="layer", ylabel="accuracy")
        axes.set_ylim(max(0.0, min(layer["probe_accuracy"] for layer in layers) - 0.05), 1.0)
    return save(drawn, out_dir / "layers.png")


def predictive(layers: Rows, out_dir: Path) -> Path:
    """Are deeper layers more predictive?"""
    predicting = "accuracy" in layers[-1]
    drawn, (accuracy, *rest) = figure(2 if predicting else 1)
    by_layer(accuracy, layers, "probe_accuracy", label="linear probe")
    if predicting:
        by_layer(accuracy, layers, "accuracy", label="the layer's own prediction")
        by_layer(rest[0], layers, "loss")
        rest[0].set(title="cross-entropy by layer", ylabel="nats per image")
    accuracy.set(title="Are deeper layers more predictive?", ylabel="validation accuracy")
    accuracy.legend()
    return save(drawn, out_dir / "research_predictive.png")


def compression(layers: Rows, out_dir: Path) -> Path:
    """Do deeper layers compress?"""
    drawn, (axes,) = figure()
    by_layer(axes, layers, "participation_ratio")
    axes.set(title="Do deeper layers compress?", ylabel="participation ratio (directions filled)")
    axes.set_ylim(bottom=0)
    return save(drawn, out_dir / "research_compression.png")


def difference(layers: Rows, alike: Sequence[Sequence[float]], out_dir: Path) -> Path:
    """Do layers truly differ?"""
    predicting = "accuracy" in layers[-1] and len(layers) > 1
    drawn, (axes, *rest) = figure(2 if predicting else 1)
    numbers = range(1, len(layers) + 1)
    image = axes.imshow(alike, cmap="Blues", vmin=0, vmax=1, extent=(0.5, len(layers) + 0.5, len(layers) + 0.5, 0.5))
    drawn.colorbar(image, ax=axes, label="linear CKA (1: the same)")
    for i in numbers:
        for j in numbers:
            value = alike[i - 1][j - 1]
            colour = "white" if value > 0.5 else "black"
            axes.text(j, i, f"{value:.2f}", ha="center", va="center", color=colour, fontsize=8)
    axes.set(title="Do layers truly differ?", xlabel="layer", ylabel="layer", xticks=numbers, yticks=numbers)
    if predicting:
        rest[0].bar([f"{i} and {i + 1}" for i in numbers[:-1]], [layer["js_to_next"] for layer in layers[:-1]])
        rest[0].set(title="Jensen-Shannon divergence of predictions", xlabel="layers", ylabel="nats per image")
    return save(drawn, out_dir / "research_difference.png")


def comparison(runs: Sequence[Run], out_dir: Path) -> Path:
    """Accuracy and loss of the runs of an experiment, each labelled by the settings that differ."""
    drawn, (accuracy, loss) = figure(2, height=1.5 + 0.35 * len(runs))
    names = [
        f"{label}\n{run.name}" if label != run.name else label for run, label in zip(runs, labels(runs), strict=True)
    ]
    places = range(len(runs))
    for axes, values, title in (
        (accuracy, [run.accuracy for run in runs], "validation accuracy"),
        (loss, [run.loss for run in runs], "validation loss (nats per image)"),
    ):
        axes.barh(places, values)
        axes.set(title=title, yticks=places, yticklabels=names if axes is accuracy else [""] * len(names))
        axes.invert_yaxis()
        for place, value in zip(places, values, strict=True):
            axes.text(value, place, f" {value:.4f}", va="center", fontsize=8)
        axes.margins(x=0.15)
    return save(drawn, out_dir / "comparison.png")


def by_layer(axes: Axes, layers: Rows, key: str, label: str = "") -> None:
    axes.plot([layer["layer"] for layer in layers], [layer[key] for layer in layers], marker="o", label=label)
    axes.set_xlabel("layer")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
