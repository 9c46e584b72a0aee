"""What a run's counts are read from, whatever state its folder is in; and the interval of a ratio."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from pipelines.robustness.counts import Counts, Share, derive
from tests.conftest import PROJECT

COUNTS = {"adversarial_success": 12, "adversarial_total": 50, "ood_success": 33, "ood_total": 40, "notes": ""}
NOTHING = "none of metrics/success_counts.json, raw/records.jsonl, predictions.jsonl tells the "


def write(folder: Path, name: str, content: object) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))


def row(**own: object) -> str:
    return json.dumps({"sample_id": "a", **own}) + "\n"


ADVERSARIAL = [row(is_adversarial=True, adversarial_success=won) for won in (True, False, True)]
ODD = [row(is_ood=True, ood_success=won) for won in (True, True, False, True)]
CLEAN = row(is_adversarial=False, adversarial_success=None, is_ood=False, ood_success=None)


@given(st.integers(1, 2000), st.data())
def test_the_interval_is_wilsons(total: int, data: st.DataObject) -> None:
    success = data.draw(st.integers(0, total))
    theirs = binomtest(success, total).proportion_ci(method="wilson")
    low, high = Share(success, total).interval
    assert (low, high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)
    assert 0 <= low <= success / total <= high <= 1 and low < high


def test_the_counts_file_comes_first(tmp_path: Path) -> None:
    write(tmp_path, "metrics/success_counts.json", COUNTS)
    write(tmp_path, "raw/records.jsonl", ADVERSARIAL[0])
    found = derive(tmp_path)
    assert found.adversarial == Share(12, 50) and found.ood == Share(33, 40) and found.notes == ""
    assert set(found.sources.values()) == {"metrics/success_counts.json"}
    assert found.summary() == "adversarial_success=12/50, ood_success=33/40"


@pytest.mark.parametrize("name", ["raw/records.jsonl", "predictions.jsonl"])
def test_records_are_summed(tmp_path: Path, name: str) -> None:
    write(tmp_path, name, "".join([CLEAN, *ADVERSARIAL, CLEAN, *ODD]))
    assert derive(tmp_path) == Counts(Share(2, 3), Share(3, 4), "", {"adversarial": name, "ood": name})


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", ["metrics/success_counts.json", "raw/records.jsonl", "predictions.jsonl"])
def test_a_file_of_40_gb_is_not_read_to_its_end(tmp_path: Path, name: str) -> None:
    write(tmp_path, name, "")
    os.truncate(tmp_path / name, 40 << 30)
    found = derive(tmp_path)
    assert found.adversarial is None and found.notes


def test_each_half_comes_from_the_first_file_that_has_it(tmp_path: Path) -> None:
    write(tmp_path, "metrics/success_counts.json", {"adversarial_success": 1, "adversarial_total": 2})
    write(tmp_path, "raw/records.jsonl", "".join(ADVERSARIAL))
    write(tmp_path, "predictions.jsonl", "".join([*ADVERSARIAL, *ODD]))
    found = derive(tmp_path)
    assert (found.adversarial, found.ood) == (Share(1, 2), Share(3, 4))
    assert found.sources == {"adversarial": "metrics/success_counts.json", "ood": "predictions.jsonl"}


UNKNOWN = [
    ("an empty folder", {}, NOTHING + "adversarial and ood success"),
    ("a run that says why", {"metrics/success_counts.json": {"ood_success": None, "notes": "ood was not run"}},
     "metrics/success_counts.json: ood was not run"),
    ("clean rows only", {"raw/records.jsonl": CLEAN * 3}, NOTHING + "adversarial and ood success"),
    ("torn JSON", {"metrics/success_counts.json": "{"}, "metrics/success_counts.json cannot be read (JSONDecodeError)"),
    ("no record", {"metrics/success_counts.json": "[1]"}, "metrics/success_counts.json: is no record of counts"),
    ("no bytes", {"metrics/success_counts.json": "", "raw/records.jsonl": ""},
     "metrics/success_counts.json cannot be read (JSONDecodeError)"),
    ("more than there are", {"metrics/success_counts.json": {"ood_success": 3, "ood_total": 2}},
     "metrics/success_counts.json: ood: 3 of 2 is no count"),
    ("below nothing", {"metrics/success_counts.json": {"ood_success": -1, "ood_total": 2}},
     "metrics/success_counts.json: ood: -1 of 2 is no count"),
    ("of nothing", {"metrics/success_counts.json": {"ood_success": 0, "ood_total": 0}},
     "metrics/success_counts.json: ood: 0 of 0 is no count"),
    ("words", {"metrics/success_counts.json": {"ood_success": "many", "ood_total": True}},
     "metrics/success_counts.json: ood: 'many' of True is no count"),
    ("rows that do not say", {"raw/records.jsonl": row(is_ood=True)},
     "raw/records.jsonl: 1 ood rows do not say whether they succeeded"),
    ("rows that say nonsense", {"raw/records.jsonl": row(is_ood=True, ood_success="yes") + row(is_ood=2)},
     "raw/records.jsonl: 1 ood rows do not say whether they succeeded"),
]  # fmt: skip


@pytest.mark.parametrize(("files", "notes"), [case[1:] for case in UNKNOWN], ids=[case[0] for case in UNKNOWN])
def test_what_is_not_known_is_none_with_a_note_and_never_nought(tmp_path: Path, files: dict, notes: str) -> None:
    for name, content in files.items():
        write(tmp_path, name, content)
    assert derive(tmp_path) == Counts(None, None, notes, {})
    assert derive(tmp_path).summary() == "adversarial_success=unknown, ood_success=unknown"


def test_a_torn_line_and_incomplete_rows_are_left_out_and_reported(tmp_path: Path) -> None:
    lines = [*ADVERSARIAL, row(is_adversarial=True), row(is_adversarial=1, adversarial_success=0.0), '{"is_adver']
    write(tmp_path, "raw/records.jsonl", "".join(lines))
    found = derive(tmp_path)
    assert found.adversarial == Share(2, 4)
    assert found.notes.split("; ") == [
        "raw/records.jsonl: 1 lines cannot be read",
        "raw/records.jsonl: 1 adversarial rows do not say whether they succeeded",
    ]


def test_a_file_that_is_none_is_never_waited_for(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    os.mkfifo(tmp_path / "raw/records.jsonl")
    (tmp_path / "predictions.jsonl").mkdir()
    assert "raw/records.jsonl cannot be read (OSError)" in derive(tmp_path).notes


@given(st.binary(max_size=200))
def test_any_bytes_are_survived(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    folder = tmp_path_factory.mktemp("run")
    for name in ("metrics/success_counts.json", "raw/records.jsonl", "predictions.jsonl"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
    assert isinstance(derive(folder), Counts)


def test_reading_counts_needs_no_library() -> None:
    program = "import sys, pipelines.robustness.counts; print({'torch', 'numpy', 'pydantic'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", program], cwd=PROJECT, text=True) == "set()\n"
