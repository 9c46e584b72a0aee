"""The figures of a run, as PNG files under images/. Needs no display; computes only what it draws."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from pipelines.robustness import layout, statistics
from pipelines.robustness.evaluation import Evaluation, Plane, Result
from pipelines.robustness.settings import RobustnessSettings
from pipelines.shared.plotting import save

COLUMNS = 8  # examples side by side
CLEAN, ADVERSARIAL, OOD = "#4c72b0", "#c44e52", "#8172b3"
DETECTORS = {"msp": "#dd8452", "energy": "#55a868", "mahalanobis": "#4c72b0", "knn": "#937860"}
CLASSES = ["#a6cee3", "#b2df8a", "#fdbf6f", "#cab2d6", "#fb9a99", "#ffff99", "#e0e0e0", "#ccebc5", "#d9d9ff", "#f6d5e5"]
TITLES = {
    "msp": "1 - largest probability",
    "energy": "energy",
    "mahalanobis": "squared Mahalanobis distance",
    "knn": "distance to a near training row",
}


def draw(result: Result, settings: RobustnessSettings, planes: Sequence[Plane], out_dir: Path) -> list[Path]:
    """Draw and save the figures that apply to this run; their paths."""
    found = dict(figures(result, settings, planes))
    return [save(figure, out_dir / layout.IMAGES / f"{name}.png") for name, figure in found.items()]


def figures(result: Result, settings: RobustnessSettings, planes: Sequence[Plane]) -> Iterator[tuple[str, Figure]]:
    yield "scores", scores(result, settings)
    if result.eval_adv is not None and (result.eval_adv.labels == 1).any():
        yield "roc", roc(result)
    if len(result.attack_test.rows):
        if result.data.images:
            yield "examples", image_examples(result)
        elif not planes:
            yield "examples", table_examples(result)
    if result.data.images and result.ood_rows:
        yield "ood_examples", ood_examples(result)
    if planes:
        yield "decision_map", decision_map(result, settings, planes)


def scores(result: Result, settings: RobustnessSettings) -> Figure:
    """How each detector scores clean, adversarial and ood rows, and its threshold."""
    figure = Figure(figsize=(11, 6.5), layout="constrained")
    adversarial = result.eval_adv.labels == 1
    for axes, name in zip(figure.subplots(2, 2).flat, DETECTORS, strict=True):
        groups = [("clean", result.scores["test_clean"][name], CLEAN)]
        groups.append(("adversarial", result.eval_adv.scores[name][adversarial], ADVERSARIAL))
        if result.eval_ood is not None:
            groups.append(("ood", result.scores["test_ood"][name], OOD))
        histogram(axes, [group for group in groups if len(group[1])], logarithmic=name != "energy")
        axes.axvline(result.thresholds[name], color="black", linestyle="--", linewidth=1, label="threshold")
        decides = ", which decides" if name == settings.detector.name else ""
        axes.set(title=f"{name}{decides}", xlabel=TITLES[name], ylabel="fraction of the rows")
    figure.axes[0].legend()
    return figure


def histogram(axes: Axes, groups: list[tuple[str, np.ndarray, str]], *, logarithmic: bool) -> None:
    """Groups over the same bins, each normalised; values beyond the axis are in the first or last bin."""
    every = np.concatenate([values for _, values, _ in groups])
    if logarithmic:
        floor = max(1e-9, np.quantile(every, 0.01))
        bins = np.geomspace(floor, max(every.max(), floor * 1.01), 41)
        axes.set_xscale("log")
        if bins[-1] < 300 * bins[0]:  # else the powers of ten are enough
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        bins = np.linspace(every.min(), np.quantile(every, 0.995) + 1e-9, 41)
    for label, values, colour in groups:
        weights = np.full(len(values), 1 / len(values))
        kept = values.clip(bins[0], bins[-1])
        axes.hist(kept, bins, weights=weights, color=colour, alpha=0.35)
        axes.hist(kept, bins, weights=weights, color=colour, histtype="step", linewidth=1.3, label=label)


def roc(result: Result) -> Figure:
    """The ROC curve of each detector: detected rows against false alarms, for every threshold."""
    parts = [("adversarial", result.eval_adv)] + ([("ood", result.eval_ood)] if result.eval_ood is not None else [])
    figure = Figure(figsize=(5.5 * len(parts), 5), layout="constrained")
    for axes, (title, found) in zip(figure.subplots(1, len(parts), squeeze=False)[0], parts, strict=True):
        curves(axes, found)
        count = int((found.labels == 1).sum())
        axes.set(title=f"{title}: {count} rows against {len(found.labels) - count} clean ones", aspect="equal")
        axes.set(xlabel="false positive rate", ylabel="true positive rate", xlim=(-0.01, 1), ylim=(0, 1.01))
        axes.legend(loc="lower right", title="AUROC")
    return figure


def curves(axes: Axes, found: Evaluation) -> None:
    from sklearn.metrics import roc_curve

    axes.plot([0, 1], [0, 1], color="grey", linestyle=":", linewidth=1)
    for name, colour in DETECTORS.items():
        wrong, right, _ = roc_curve(found.labels, found.scores[name])
        area = statistics.auroc(found.labels, found.scores[name])
        axes.plot(wrong, right, color=colour, label=f"{area:.3f}  {name}")


def shown(result: Result) -> np.ndarray:
    """The attacked rows to show: successes first."""
    mask = result.attack_test.meta["adv_mask"]
    return np.argsort(~mask, kind="stable")[:COLUMNS]


def image_examples(result: Result) -> Figure:
    attack, data, chosen = result.attack_test, result.data, shown(result)
    clean = data.test.x[attack.rows[chosen]][:, 0]
    adversarial = attack.x[chosen][:, 0]
    figure = Figure(figsize=(1.3 * COLUMNS + 1.4, 4.6), layout="constrained")
    grid = figure.subplots(3, COLUMNS, squeeze=False)
    reach = max(float(np.abs(adversarial - clean).max()), 1e-9)
    for column in range(COLUMNS):
        if column >= len(chosen):
            for axes in grid[:, column]:
                axes.set_axis_off()
            continue
        before, after = data.test.y[attack.rows[chosen[column]]], attack.answers[chosen[column]]
        pixels(grid[0, column], clean[column], title=f"{data.names[before]}")
        change = pixels(grid[1, column], adversarial[column] - clean[column], cmap="RdBu_r", limits=(-reach, reach))
        pixels(grid[2, column], adversarial[column], title=f"predicted {data.names[after]}")
    for row, label in enumerate(("clean", "change", "adversarial")):
        grid[row, 0].set_ylabel(label)
    figure.colorbar(change, ax=grid[1, :].tolist(), fraction=0.02, pad=0.01)
    rate = statistics.success_fraction(attack.meta["adv_mask"])
    figure.suptitle(f"{rate.success} of {rate.total} attacks succeed")
    return figure


def ood_examples(result: Result) -> Figure:
    rows = {"clean": result.data.test.x} | result.ood_rows
    figure = Figure(figsize=(1.1 * COLUMNS + 1.5, 1.15 * len(rows) + 0.2), layout="constrained")
    for strip, (kind, x) in zip(figure.subplots(len(rows), COLUMNS, squeeze=False), rows.items(), strict=True):
        for column, axes in enumerate(strip):
            if column < len(x):
                pixels(axes, x[column, 0])
            else:
                axes.set_axis_off()
        strip[0].set_ylabel(kind.replace("_", "\n"), rotation=0, ha="right", va="center")
    return figure


def pixels(axes: Axes, image: np.ndarray, title: str = "", cmap: str = "gray_r", limits: tuple = (0, 1)):
    axes.set(xticks=[], yticks=[])
    if title:
        axes.set_title(title, fontsize=9)
    return axes.imshow(image, cmap=cmap, vmin=limits[0], vmax=limits[1])


def table_examples(result: Result) -> Figure:
    """Which features an attack moves, and how far; one line for each example."""
    attack, data, chosen = result.attack_test, result.data, shown(result)
    change = attack.x[chosen] - data.test.x[attack.rows[chosen]]
    reach = max(float(np.abs(change).max()), 1e-9)
    features = data.features
    figure = Figure(figsize=(0.32 * len(features) + 3.2, 0.4 * len(chosen) + 3.0), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(change, cmap="RdBu_r", vmin=-reach, vmax=reach, aspect="auto")
    figure.colorbar(image, ax=axes, label="change (standard deviations)")
    names = [f"{data.names[data.test.y[attack.rows[row]]]} → {data.names[attack.answers[row]]}" for row in chosen]
    axes.set_xticks(range(len(features)), features, rotation=90, fontsize=8)
    axes.set_yticks(range(len(chosen)), names, fontsize=9)
    rate = statistics.success_fraction(attack.meta["adv_mask"])
    axes.set_title(f"{rate.success} of {rate.total} attacks succeed")
    return figure


def decision_map(result: Result, settings: RobustnessSettings, planes: Sequence[Plane]) -> Figure:
    """Left: the predicted classes, and where the attack moves rows. Right: what the detector detects."""
    figure = Figure(figsize=(6.2 * len(planes), 5.6), layout="constrained")
    axes = figure.subplots(1, len(planes), squeeze=False)[0]
    for one, plane in zip(axes, planes, strict=True):
        background(one, result, settings, plane)
    attack, mask = result.attack_test, result.attack_test.meta["adv_mask"]
    clean, attacked = result.data.test.x[attack.rows], attack.x
    for chosen, colour, label in ((~mask, "#777777", "no success"), (mask, ADVERSARIAL, "success")):
        axes[0].plot(*attacked[chosen].T, ".", color=colour, markersize=4, label=f"attacked, {label}: {chosen.sum()}")
        gaps = np.full_like(attacked[chosen], np.nan)
        lines = np.stack((clean[chosen], attacked[chosen], gaps), 1).reshape(-1, 2)
        axes[0].plot(*lines.T, color=colour, linewidth=0.6, alpha=0.6)
    axes[0].set_title(f"{settings.attack.name}, {settings.attack.norm}, eps {settings.attack.eps:g}")
    for (kind, x), marker in zip(result.ood_rows.items(), "xv+*", strict=False):
        found = result.eval_ood.scores[settings.detector.name][result.eval_ood.kind == kind]
        fraction = statistics.success_fraction(found >= result.thresholds[settings.detector.name])
        label = f"{kind}: {fraction.success} of {fraction.total} detected"
        axes[1].plot(*x.T, marker, markersize=4, linestyle="", alpha=0.7, label=label)
    if result.ood_rows:
        axes[1].set_title(f"ood rows, and the region that {settings.detector.name} takes for clean")
    for one in axes:
        one.legend(loc="upper right", fontsize=8, framealpha=0.9)
    return figure


def background(axes: Axes, result: Result, settings: RobustnessSettings, plane: Plane) -> None:
    """The classes as colours, paler where the detector would raise an alarm; a dashed line is the threshold."""
    count, limit = len(result.data.names), result.thresholds[settings.detector.name]
    place = {"extent": plane.extent, "origin": "lower"}
    axes.imshow(plane.answers, cmap=ListedColormap(CLASSES[:count]), vmin=-0.5, vmax=count - 0.5, **place)
    alarm = plane.score >= limit
    axes.imshow(np.dstack([np.ones((*alarm.shape, 3)), 0.6 * alarm]), **place)
    if alarm.any() and not alarm.all():
        axes.contour(plane.score, levels=[limit], colors="black", linestyles="--", linewidths=0.8, **place)
    axes.set(xlabel="feature 1 (standard deviations)", ylabel="feature 2", xlim=plane.extent[:2], ylim=plane.extent[2:])
