"""The report as HTML and Markdown: well formed, without addresses, the same bytes for the same content."""

from __future__ import annotations

import base64
import hashlib
import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest

from runner.reports import series
from runner.reports.document import axis, svg
from runner.reports.document.clean import Clean
from runner.reports.document.content import (
    Block,
    Cell,
    Chart,
    Content,
    Curve,
    Effect,
    Failure,
    Level,
    Picture,
    Sample,
    Table,
)
from runner.reports.document.log_html import log_html
from runner.reports.document.markdown import markdown
from runner.reports.document.page import page

EVIL = "<script>alert('1')</script>&\"`|*"
PNG = b"\x89PNG\r\n\x1a\n0"
VOID = {"meta", "img", "br", "link"}


def rows(values: list[float]) -> list[dict[str, float]]:
    return [{"iter": step, "val/loss": value} for step, value in enumerate(values)]


def chart(values: list[float], color: int | None = 0, name: str = "a") -> Chart:
    return Chart("val/loss", "step", (Curve(name, series.read(rows(values))["val/loss"], color),), 1)


def content(text: str = "job", jobs: int = 1) -> Content:
    failure = Failure((text,), "failed: code", text, text, text, f"overnight rerun {text}", (text,), (text,))
    row = (Cell(text), Cell("failed", status=True), Cell("1.0", right=True))
    curves = tuple(Curve(f"{text}{place}", series.read(rows([2.0, 1.0]))["val/loss"], place % 24) for place in range(3))
    block = Block(text, (text,), Table((text, "n"), ((Cell(text), Cell("1", right=True)),)), (text,))
    effect = Effect(text, text, (Level(text, (1.0, 2.0), 1.5, 2, 0), Level("b", (), None, 0, 3)))
    return Content(
        name=text, sentence=f"{text}: 1 failed.", unfinished=text, period=text, note=text, failures=(failure,),
        warnings=(text,), more_failures=2, best=(text,), table=Table(("job", "state", "val/loss"), (row,) * jobs, 0),
        findings=(text,), charts=(Chart(text, "step", curves, 3),), same=((text, text),),
        comparison=(block,), effects=(effect,),
        resources=Table(("job", text), ((Cell(text), Cell("1", right=True)),)),
        samples=(Sample(text, (text, "a line")),), pictures=(Picture(text, "png", PNG),), left_out=(text,),
        origin=((text, text),),
    )  # fmt: skip


class Reader(HTMLParser):
    """Checks that every element is closed, in order, and collects what is asked of them."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag, tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def read(document: bytes) -> Reader:
    reader = Reader()
    reader.feed(document.decode())
    reader.close()
    assert reader.open == []
    return reader


def test_a_report_is_well_formed_and_nothing_in_it_is_markup() -> None:
    reader = read(page(content(EVIL)))
    assert [about for tag, about in reader.tags if tag == "script"] == [{}]  # our own, the last element
    assert page(content(EVIL)).partition(b"<script>")[2] == page(content()).partition(b"<script>")[2]
    assert sum(EVIL in text for text in reader.text) > 15
    assert not {name for _, attributes in reader.tags for name in attributes if name.startswith("on")}


def test_it_asks_for_nothing() -> None:
    reader = read(page(content()))
    addresses = [
        value for _, attributes in reader.tags for name, value in attributes.items() if name in ("src", "href")
    ]
    assert addresses and all(str(value).startswith("data:image/png;base64,") for value in addresses)
    style = "".join(reader.text[: reader.text.index("job")])
    assert "url(" not in style and "@import" not in style
    policy = next(it["content"] for tag, it in reader.tags if it.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None and policy.startswith("default-src 'none'") and "unsafe" not in policy
    script = page(content()).partition(b"<script>")[2].partition(b"</script>")[0]
    assert len(script) < 40_000 and base64.b64encode(hashlib.sha256(script).digest()).decode() in policy


def test_headings_charts_and_pictures_have_names_for_a_screen_reader() -> None:
    reader = read(page(content()))
    levels = [int(tag[1]) for tag, _ in reader.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(below - above <= 1 for above, below in pairwise(levels))
    assert all(it.get("alt") for tag, it in reader.tags if tag == "img")
    assert all(it.get("aria-label") or it.get("aria-hidden") for tag, it in reader.tags if tag == "svg")
    assert all(it.get("scope") == "col" for tag, it in reader.tags if tag == "th")
    assert ("html", {"lang": "en"}) in reader.tags


def test_the_first_words_are_the_sentence() -> None:
    text = page(content("night")).decode()
    assert "<title>night: night: 1 failed.</title>" in text
    assert text.index('class="lead">night: 1 failed.') < text.index("What failed") < text.index("Jobs")


def test_the_same_content_gives_the_same_bytes() -> None:
    assert page(content()) == page(content())


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_color_of_text_has_enough_contrast(theme: str) -> None:
    """4.5 to 1 for text, 3 to 1 for lines, as WCAG 2.2 AA asks."""
    style = page(content()).decode()
    roots = re.findall(r":root\{([^}]*)\}", style)
    colors = dict(re.findall(r"--(\w+):(#\w+)", roots[0 if theme == "light" else 1]))
    for name in ("ink", "soft", "good", "bad", "other", "c0", "c3", "c4"):
        for ground in ("ground", "pale", "best") if name in ("ink", "good", "bad") else ("ground",):
            least = 4.5 if name in ("ink", "soft", "good", "bad", "other") else 3.0
            assert contrast(colors[name], colors[ground]) >= least, (name, ground)
    assert all(contrast(colors[f"c{number}"], colors["ground"]) >= 3 for number in range(8))


def contrast(one: str, other: str) -> float:
    def light(color: str) -> float:
        digits = color[1:] if len(color) == 7 else "".join(digit * 2 for digit in color[1:])
        parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] + 0.05

    return max(light(one), light(other)) / min(light(one), light(other))


def test_a_value_that_is_not_finite_is_a_mark_and_a_gap() -> None:
    drawn = svg.chart(chart([2.0, 1.5, math.nan, 1.0, 0.5]))
    assert drawn.count('class="lost c0"') == 1 and "a: not finite at 2" in drawn
    (path,) = re.findall(r'class="line c0 d0" d="([^"]*)"', drawn)
    assert path.count("M") == 2


def test_a_curve_that_diverged_does_not_flatten_the_others() -> None:
    curves = [Curve(str(n), series.read(rows(v))["val/loss"], n) for n, v in enumerate(
        ([3.0, 2.0], [3.1, 1.0], [4.0, 1e12]))]  # fmt: skip
    found = Chart("val/loss", "step", tuple(curves), 3)
    assert svg.above(found) == 3.1 and not svg.is_logarithmic(found)
    assert "values above 3.1000 are drawn at the upper edge" in page(replace(content(), charts=(found,))).decode()
    for shown in (found.curves[:2], found.curves[1:]):
        assert svg.above(replace(found, curves=shown)) is None


def test_a_value_alone_is_drawn() -> None:
    (path,) = re.findall(r'class="line c0 d0" d="([^"]*)"', svg.chart(chart([1.0])))
    assert re.fullmatch(r"M[\d.]+ [\d.]+l0 0", path)


def test_what_a_resume_replaced_is_a_line_of_its_own() -> None:
    found = series.read([{"iter": step, "val/loss": 1.0 + step} for step in (0, 1, 2, 1, 2, 3)])["val/loss"]
    drawn = svg.chart(Chart("val/loss", "step", (Curve("a", found, 0),), 1))
    assert drawn.count('class="line c0 d0 old"') == 1 and drawn.count('class="line c0 d0"') == 2


def test_without_a_finite_value_there_is_no_chart() -> None:
    assert svg.chart(chart([math.nan, math.inf])) == ""


@pytest.mark.parametrize("values", [[1.0, 1.0], [0.0, 0.0], [1e-300, 1e300], [-1e308, 1e308], [5.0], [-3.0, 1e7]])
def test_odd_ranges_are_drawn(values: list[float]) -> None:
    drawn = svg.chart(chart(values))
    assert "nan" not in drawn and "inf" not in drawn
    numbers = [float(number) for number in re.findall(r'[xy]="(-?[\d.]+)"', drawn)]
    assert all(-1 <= number <= 500 for number in numbers)


@pytest.mark.parametrize(("value", "text"), [(0.5, "0.5"), (2000, "2,000"), (20000, "20k"), (1e-5, "1e-5"), (0, "0")])
def test_ticks_are_short(value: float, text: str) -> None:
    assert axis.label(value) == text


def test_ticks_are_round_and_inside() -> None:
    assert axis.of_positions([0, 3000], 0, 1).ticks() == [0, 1000, 2000, 3000]
    assert axis.of_values([1.0, 1000.0], 0, 1).ticks() == [1.0, 10.0, 100.0, 1000.0]


def test_colors_of_a_log_become_classes_and_other_sequences_go() -> None:
    assert log_html(["\x1b[1;31mbad\x1b[0m <b>\x1b[2K\x1b]0;title\x07"]) == '<span class="b a1">bad</span> &lt;b&gt;'
    assert len(log_html(["x" * 10_000])) <= 400


def test_the_largest_pictures_are_left_out_of_a_file_that_is_too_large() -> None:
    pictures = tuple(Picture(f"job/{size}.png", "png", b"x" * size) for size in (10_000, 60_000, 30_000, 90_000))
    found = replace(content(), pictures=pictures)
    text = page(found, 100_000).decode()
    assert len(text) <= 100_000 and "job/90000.png, job/60000.png" in text.partition("Left out")[2]
    assert text.count("<img") == 2 and page(found) == page(found, 10_000_000) != page(found, 100_000)
    assert b"<img" not in page(found, 1)


def test_markdown_escapes_its_own_signs() -> None:
    text = markdown(content("a|b`c"))
    assert "## a\\|b\\`c" in text and "| ★ a\\|b\\`c |" in text
    assert "```text\novernight rerun a|b`c\n```" in text


def test_an_anonymous_text_has_no_home_and_no_host() -> None:
    clean = Clean((), {"gpu-17"})
    assert clean("/home/anna/x on GPU-17, /Users/ben/y, /root/z") == "~/x on host, ~/y, ~/z"
    assert Clean()("/home/anna/x on gpu-17") == "/home/anna/x on gpu-17"
    clean = Clean((), set(), [Path("/data/anna/project"), Path("/data/anna/out")])
    said = (
        "python /data/anna/project/train.py --out=/data/anna/out/night/a --data=/mnt/anna/x.bin in /data/anna/project"
    )
    assert clean(said) == "python train.py --out=night/a --data=…/x.bin in ."
    kept = "File /usr/lib/python3/x.py, https://a.b/c/d/e, val/loss/x, /data/x, /data/anna/projects"
    assert clean(kept) == kept.replace("/data/anna/projects", "…/projects")


def test_secrets_in_a_log_are_replaced_also_where_they_have_several_lines() -> None:
    key = ["-----BEGIN RSA PRIVATE KEY-----", *["A" * 64] * 40, "-----END RSA PRIVATE KEY-----"]
    found = Clean().lines([*key, "\x1b[32mfine\x1b[0m", "token=hf_abcdefghijklmnopqrstuvwxyz0123456789"], 30)
    assert "A" * 64 not in "".join(found) and "hf_abc" not in "".join(found) and "fine" in found[-2]
