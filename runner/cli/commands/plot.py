"""`plot FOLDER...`: the curves of jobs as a picture, drawn by matplotlib."""

from __future__ import annotations

import importlib
import io
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from runner.cli import result_folders
from runner.cli.parser import add_base
from runner.cli.saving import save
from runner.core.errors import UserError, did_you_mean
from runner.core.printing import say
from runner.core.text import count, plain
from runner.reports import best, series
from runner.reports.job_record import rows_of
from runner.reports.series import Series

HELP = "the curves of jobs as a PNG, SVG or PDF file (needs matplotlib)"
PURPOSE = "Draw a metric of the jobs in these folders, one line for each job."
EPILOG = """\
Gaps are values that are not finite; what was measured again after a resume is pale. Without --metric it is the one by
which jobs are compared.
"""
KINDS = (".png", ".svg", ".pdf")
LEGEND = 12  # jobs with names; of more jobs the best ones stand out


def add_arguments(parser: ArgumentParser) -> None:
    parser.description, parser.epilog = PURPOSE, EPILOG
    add_base(parser)
    parser.add_argument("folders", nargs="*", metavar="FOLDER", help="default: the latest batch")
    parser.add_argument("--metric", metavar="NAME", help="draw this metric, as in val/accuracy")
    parser.add_argument("-o", "--out", metavar="FILE", default="curves.png", help="PNG, SVG or PDF (curves.png)")
    parser.add_argument("--log", action="store_true", help="a logarithmic axis of values")


def main(given: Namespace) -> int:
    path = Path(given.out).expanduser()
    if path.suffix.lower() not in KINDS:
        raise UserError(f"-o {given.out}: is not a kind of picture that can be drawn; name one of {', '.join(KINDS)}")
    figures = _matplotlib()
    found = result_folders.rows(given)
    curves = {str(row["name"]): series.read(rows_of(Path(row["out_dir"]))) for row in found}
    metric = _metric(curves, given.metric)
    chosen = {name: known[metric] for name, known in curves.items() if metric in known}
    content = _picture(figures, metric, chosen, path.suffix.lower()[1:], is_log=given.log)
    try:
        save(path, content)
    except OSError as error:
        raise UserError(f"-o {given.out}: cannot be written ({error.strerror}); name another file") from None
    say(f"{given.out}: {plain(metric)} of {count(len(chosen), 'job')}")
    return 0


def _matplotlib() -> Any:
    try:
        return importlib.import_module("matplotlib.figure")  # it draws without a display and without a window
    except ImportError:
        raise UserError("plot: needs matplotlib; pip install 'overnight[plot]'") from None


def _metric(curves: dict[str, dict[str, Series]], named: str | None) -> str:
    known = list(dict.fromkeys(name for found in curves.values() for name in found))
    if named is None:
        named = best.compared_by([dict.fromkeys(known, 0)]) or next(iter(known), None)
        if named is None:
            raise UserError("plot: no job has rows of metrics; name another folder")
    elif named not in known:
        hint = did_you_mean(named, known) or (f"there are {', '.join(known[:12])}" if known else "no job has any")
        raise UserError(f"--metric: there is no curve of {named!r}; {hint}")
    return named


def _picture(figures: Any, metric: str, curves: dict[str, Series], kind: str, *, is_log: bool) -> bytes:
    figure = figures.Figure(figsize=(8, 5), layout="constrained")
    axes = figure.add_subplot()
    order = sorted(curves, key=lambda name: _end(curves[name], best.better(metric)))
    for place, name in enumerate(order):
        stands_out = place < LEGEND
        style = {"color": f"C{place % 10}", "linestyle": "-" if place < 10 else "--"} if stands_out else {}
        _draw(axes, curves[name], plain(name) if stands_out else None, style or {"color": "0.75", "zorder": 1})
    axes.set(xlabel="step", ylabel=plain(metric), title=f"{plain(metric)} of {count(len(curves), 'job')}")
    if is_log:
        axes.set_yscale("log")
    axes.grid(visible=True, alpha=0.3)
    axes.legend(fontsize="small")
    written = io.BytesIO()
    figure.savefig(written, format=kind, dpi=150, metadata={"CreationDate": None} if kind == "pdf" else None)
    return written.getvalue()


def _end(found: Series, direction: str) -> float:
    """The sort key of a curve: the best last value first, one without a finite value last."""
    finite = found.finite
    if not finite:
        return float("inf")
    return -finite[-1][1] if direction == "max" else finite[-1][1]


def _draw(axes: Any, found: Series, name: str | None, style: dict[str, Any]) -> None:
    for segment in found.segments:
        _lines(axes, segment.replaced, {**style, "alpha": 0.35, "linestyle": ":"})
    label = name
    for segment in found.segments:
        if segment.kept:
            _lines(axes, segment.kept, {**style, "label": label})
            label = None


def _lines(axes: Any, points: Sequence[series.Point], style: dict[str, Any]) -> None:
    """A line whose values that are not finite are gaps."""
    if points:
        marker = "o" if len(points) == 1 else ""
        axes.plot([x for x, _ in points], [y for _, y in points], linewidth=1.3, marker=marker, markersize=3, **style)
