"""What the jobs of a batch left for people: pictures, and samples of what a model writes. Writes nothing."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

from runner.core.job import Plan
from runner.disk.reading import read_bytes, tail
from runner.reports.document.clean import Clean
from runner.reports.document.content import Picture, Sample

PICTURES, PICTURE, ALL_PICTURES = 8, 200_000, 1_500_000  # how many, and bytes
SAMPLES, LINES, WIDTH = 6, 30, 400  # how many files, lines of each, and characters of a line
KINDS = {b"\x89PNG\r\n\x1a\n": "png", b"\xff\xd8\xff": "jpeg"}


def pictures(plan: Plan, clean: Clean) -> tuple[tuple[Picture, ...], tuple[str, ...]]:
    """Pictures in the folders of jobs, those of the first jobs first, as many as fit; and those that do not."""
    found: list[Picture] = []
    left_out: list[str] = []
    total = 0
    for path in _files(plan, ("plots", "figures"), lambda name: name.endswith((".png", ".jpg", ".jpeg"))):
        name = clean(os.path.relpath(path, plan.root))
        try:
            content = read_bytes(path, PICTURE, links=True)
        except OSError:
            left_out.append(name)
            continue
        kind = next((kind for begin, kind in KINDS.items() if content.startswith(begin)), None)
        if kind is None:
            continue
        if len(found) == PICTURES or total + len(content) > ALL_PICTURES:
            left_out.append(name)
            continue
        total += len(content)
        found.append(Picture(name, kind, content))
    return tuple(found), tuple(left_out)


def samples(plan: Plan, clean: Clean) -> tuple[Sample, ...]:
    """The ends of the files sample*.txt, and of those in folders called samples; the last one of each job."""
    last: dict[Path, str] = {}
    for path in _files(plan, ("samples",), lambda name: name.endswith(".txt")):
        file = Path(path)
        if file.parent.name == "samples":
            last[file.parent.parent] = path
        elif file.name.lower().startswith("sample"):
            last[file.parent] = path
    found = []
    for path in list(last.values())[:SAMPLES]:
        lines = [line[:WIDTH] for line in tail(path, links=True)[-LINES:]]
        if any(lines):
            found.append(Sample(clean(os.path.relpath(path, plan.root)), tuple(clean(line) for line in lines)))
    return tuple(found)


def _files(plan: Plan, folders: Iterable[str], wanted: Callable[[str], bool]) -> Iterable[str]:
    for job in plan.jobs:
        for folder in (job.out_dir, *(job.out_dir / name for name in folders)):
            try:
                names = sorted(os.listdir(folder))  # noqa: PTH208 - names, and not paths
            except OSError:
                continue
            yield from (f"{folder}/{name}" for name in names if wanted(name.lower()))
