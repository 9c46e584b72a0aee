"""Which curves a report shows: the metrics that compare jobs, of all jobs or of the best ones. Reads metrics.jsonl."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence

from runner.core.state import Finished, Record
from runner.output import names
from runner.reports import best, series, thinned
from runner.reports.document.clean import Clean
from runner.reports.document.content import Chart, Curve
from runner.reports.ending import Ranking
from runner.reports.thinned import Packed

CHARTS = 4
UNCERTAINTY = ("_stderr", "_std")  # the ends of names that get no chart
ALL_COLORED = 12  # jobs that have a color each; of more jobs only the best ones
COLORED, DRAWN = 8, 50
HUES, COLORS = 8, 24  # each hue in three kinds of line
FAN = (0.0, 0.25, 0.5, 0.75, 1.0)
FAN_COLUMNS = 100
LEAST_FAN = 20  # jobs


def charts(records: Sequence[Record], clean: Clean) -> tuple[Chart, ...]:
    """A chart for each metric that is shown."""
    found: dict[str, dict[int, Packed]] = {}
    metrics = _metrics(records)
    axis = "step"
    order = _order(records, metrics[0] if metrics else None)
    drawn = set(order[:DRAWN] if metrics else order)
    for place, record in enumerate(records):
        thin = thinned.read(record.job.out_dir, metrics, whole=place in drawn)
        axis = thin.axis if thin.axis not in ("", "step") else axis
        for name, one in thin.curves.items():
            found.setdefault(name, {})[place] = one
    shown = [name for name in metrics or _chosen(found) if name in found]
    if not shown:
        return ()
    order = _order(records, shown[0])
    colored = order if len(order) <= ALL_COLORED else order[:COLORED]
    colors = _colors({place: records[place].job.name for place in sorted(colored)})
    said = [clean(record.job.name) for record in records]
    return tuple(_chart(clean(name), axis, found[name], [one for one in order if one in found[name]], said, colors)
                 for name in shown)  # fmt: skip


def _order(records: Sequence[Record], metric: str | None) -> list[int]:
    """The places of the jobs, the best ones first."""
    ranking = Ranking(records, metric)
    return sorted(range(len(records)), key=lambda place: (ranking.order(place), place))


def _metrics(records: Iterable[Record]) -> list[str]:
    """The metrics that are shown, as the results say; none if there are no results yet."""
    measured = [record.state.result.final_metrics for record in records if isinstance(record.state, Finished)]
    known = dict.fromkeys(name for metrics in measured for name, value in metrics.items() if _is_number(value))
    return _chosen(known)


def _is_number(value: object) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _chosen(known: Mapping[str, object]) -> list[str]:
    first = best.compared_by([dict.fromkeys(known, 0)])
    shown = [name for name in known if not name.endswith(UNCERTAINTY)]
    directed = [name for name in shown if names.better(name) or name in best.METRICS]
    order = [first] * (first is not None) + [name for name in (names.VAL, names.TRAIN) if name in known] + directed
    return [name for name in dict.fromkeys(order) if name is not None][:CHARTS]


def _colors(jobs: Mapping[int, str]) -> dict[int, int]:
    """A color for each of these jobs, by its name as far as that is free: the same in every chart of the batch."""
    colors: dict[int, int] = {}
    for place, name in jobs.items():
        hue = hashlib.sha256(name.encode(errors="replace")).digest()[0] % HUES
        taken = set(colors.values())
        order = [(hue + more) % HUES + kind * HUES for kind in range(COLORS // HUES) for more in range(HUES)]
        colors[place] = next((color for color in order if color not in taken), hue)
    return colors


def _chart(
    name: str,
    axis: str,
    found: Mapping[int, Packed],
    order: Sequence[int],
    said: Sequence[str],
    colors: Mapping[int, int],
) -> Chart:
    """The curves of one metric; `order` are the jobs that have it, the best first, and `said` the names of all."""
    fan: tuple[tuple[float, tuple[float, ...]], ...] = ()
    if len(order) > LEAST_FAN:
        fan = _fan([found[place] for place in order])
    drawn = [place for place in order if place in colors] + [place for place in order if place not in colors]
    curves = [Curve(said[place], found[place].series(), colors.get(place)) for place in sorted(drawn[:DRAWN])]
    return Chart(name, axis, tuple(curves), len(order), fan)


def _fan(found: Sequence[Packed]) -> tuple[tuple[float, tuple[float, ...]], ...]:
    places = [x for one in found for xs, _, _ in one.segments for x in (xs[0], xs[-1])]
    series_of = (one.series() for one in found)  # one at a time: a thousand of them are large
    parts = series.quantiles(series_of, min(places), max(places), FAN_COLUMNS, FAN)
    return tuple((x, tuple(values)) for x, values in parts)
