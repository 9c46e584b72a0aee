"""`plot FOLDER...`: the curves of jobs as a picture, drawn by matplotlib."""

from __future__ import annotations

import importlib
import io
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from runner.cli import result_folders
from runner.cli.parser import add_base
from runner.cli.saving import save
from runner.core import redact
from runner.core.errors import UserError, did_you_mean
from runner.core.printing import say
from runner.core.text import count, plain
from runner.reports import bands, best, comparison, grouping, series
from runner.reports.comparing.groups import differing
from runner.reports.comparing.student import LEAST
from runner.reports.job_record import rows_of
from runner.reports.series import Series
from runner.reports.table import Table

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
    over = "one line for each group of jobs that differ in KEY alone, with the band that they take; with commas"
    parser.add_argument("--over", metavar="KEY", help=over)
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
    kind = path.suffix.lower()[1:]
    if given.over is None:
        content = _picture(figures, metric, chosen, kind, is_log=given.log)
    else:
        groups = _groups(found, result_folders.over(found, given.over), chosen)
        content = _picture_of_groups(figures, metric, groups, kind, is_log=given.log)
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
        _draw(axes, curves[name], _label(name) if stands_out else None, style or {"color": "0.75", "zorder": 1})
    return _written(figure, axes, metric, f"{_label(metric)} of {count(len(curves), 'job')}", kind, is_log=is_log)


def _written(figure: Any, axes: Any, metric: str, title: str, kind: str, *, is_log: bool) -> bytes:
    axes.set(xlabel="step", ylabel=_label(metric), title=title)
    if is_log:
        axes.set_yscale("log")
    axes.grid(visible=True, alpha=0.3)
    axes.legend(fontsize="small")
    written = io.BytesIO()
    figure.savefig(written, format=kind, dpi=150, metadata={"CreationDate": None} if kind == "pdf" else None)
    return written.getvalue()


def _groups(found: Table, over: Sequence[str], curves: Mapping[str, Series]) -> dict[str, list[Series]]:
    """The curves of jobs that differ in `over` alone, by the settings that tell the groups apart."""
    settings = [key for key in grouping.settings_of(found) if key not in over]
    shown = differing(found, settings)
    made: dict[str, list[Series]] = {}
    for members in grouping.split(found, settings):
        known = [curves[name] for row in members if (name := str(row["name"])) in curves]
        if known:
            named = redact.mapping({key: members[0].get(key) for key in shown}, found.not_secret)
            name = ", ".join(f"{key}={comparison.shown(value)}" for key, value in named.items()) or "all jobs"
            made.setdefault(name, []).extend(known)
    return made


def _picture_of_groups(
    figures: Any, metric: str, groups: Mapping[str, Sequence[Series]], kind: str, *, is_log: bool
) -> bytes:
    """A line for the mean of each group, dotted from where one of its jobs has ended; a band of three jobs or more."""
    figure = figures.Figure(figsize=(8, 5), layout="constrained")
    axes = figure.add_subplot()
    for number, (name, members) in enumerate(groups.items()):
        found = bands.places(members)
        fewer = bands.from_where_fewer(found)
        color = {"color": f"C{number % 10}"}
        label = _label(f"{name} (n={len(members)})")
        _lines(axes, [(place.x, place.mean) for place in found[:fewer]], {**color, "label": label})
        rest = found[fewer - 1 :] if 0 < fewer < len(found) else ()
        _lines(axes, [(place.x, place.mean) for place in rest], {**color, "linestyle": ":"})
        wide = [place for place in found if place.has_band]
        low, high = [place.low for place in wide], [place.high for place in wide]
        axes.fill_between([place.x for place in wide], low, high, alpha=0.15, linewidth=0, **color)
    title = f"{_label(metric)}: mean of each group; band: lowest to highest of at least {LEAST} jobs"
    return _written(figure, axes, metric, title, kind, is_log=is_log)


def _label(text: str) -> str:
    """A text that is not read as a formula, which matplotlib does between two dollar signs."""
    return plain(text).replace("$", r"\$")


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
