"""Mode simulation: the figures that each flag promises, and none that it excludes."""

import csv
import json

import pytest
import torch

from pipelines.classify import comparison, display, plots
from pipelines.classify.settings import ClassifySettings
from pipelines.classify.train import run

pytestmark = pytest.mark.slow

TINY = {
    "mode": "simulation", "layers": 3, "width": 16, "train_examples": 90, "batch_size": 30, "epochs": 2, "lr": 1e-2,
    "device": "cpu",
}  # fmt: skip
RESEARCH = {"research_predictive", "research_compression", "research_difference"}
ALL = {"curves", "confusion", "layers"} | RESEARCH
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def simulate(out_dir, **changes) -> set[str]:
    """The names of the pictures that a run draws."""
    assert run(ClassifySettings(**{**TINY, "out_dir": str(out_dir), **changes})) == 0
    assert not list(out_dir.glob(".*"))
    found = list(out_dir.glob("*.png"))
    assert all(path.read_bytes().startswith(PNG) and path.stat().st_size > 3000 for path in found)
    return {path.stem for path in found}


@pytest.mark.parametrize(
    ("flags", "drawn"),
    [
        ({}, ALL),
        ({"no_confusion": True}, ALL - {"confusion"}),
        ({"research_only": True}, RESEARCH),
        ({"research_only": True, "advanced": True}, RESEARCH | {"comparison"}),
        ({"mode": "training", "advanced": True, "show": True}, set()),
    ],
)
def test_flags_choose_the_figures(flags, drawn, tmp_path):
    assert simulate(tmp_path / "batch" / "job", model="greedy", **flags) == drawn


@pytest.mark.parametrize("model", ["mlp", "greedy"])
def test_a_single_layer_can_be_drawn_too(model, tmp_path):
    assert simulate(tmp_path / "batch" / "job", model=model, layers=1) == ALL


def test_an_mlp_is_drawn_by_its_probes(tmp_path):
    assert simulate(tmp_path / "batch" / "job") == ALL


def test_a_resumed_simulation_plots_all_of_the_training(tmp_path):
    out = tmp_path / "job"
    simulate(out, epochs=1, scheduler="constant")
    simulate(out, epochs=2, scheduler="constant", init_from="resume")
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert plots.series(rows, "val/loss")[0] == [0, 3, 6]


def test_a_new_simulation_does_not_keep_the_figures_of_an_old_one(tmp_path):
    out = tmp_path / "batch" / "job"
    assert simulate(out, advanced=True) == ALL | {"comparison"}
    assert simulate(out, research_only=True) == RESEARCH
    assert {path.stem for path in (out / "earlier_1").glob("*.png")} == ALL | {"comparison"}


def test_of_two_rows_for_one_iteration_the_later_one_is_drawn():
    rows = [{"iter": 2, "x": 1.0}, {"iter": 1, "x": 5.0}, {"iter": 2, "x": 3.0}, {"iter": 3, "x": None}, {"iter": 4}]
    assert plots.series(rows, "x") == ([1, 2], [5.0, 3.0])


def test_advanced_compares_the_runs_of_the_experiment_by_what_sets_them_apart(tmp_path):
    batch = tmp_path / "batch"
    simulate(batch / "run_000", model="greedy", lambda_ace=[0.0, 0.0], seed=1, mode="training")
    simulate(batch / "run_001", model="greedy", lambda_ace=[0.2, 0.2], seed=1, mode="training")
    (batch / "run_002").mkdir()  # one that failed
    (batch / "run_003").mkdir()
    (batch / "run_003" / "evaluation.json").write_text("{")
    simulate(batch / "run_004", model="greedy", lambda_ace=[0.4, 0.4], seed=1, advanced=True, research_only=True)
    rows = list(csv.DictReader((batch / "run_004" / "comparison.csv").open()))
    assert [row["run"] for row in rows] == ["run_000", "run_001", "run_004"]
    assert [row["lambda_ace"] for row in rows] == ["[0.0, 0.0]", "[0.2, 0.2]", "[0.4, 0.4]"]
    assert "seed" not in rows[0] and "out_dir" not in rows[0]
    for row in rows:
        record = json.loads((batch / row["run"] / "evaluation.json").read_text())
        assert (float(row["accuracy"]), float(row["loss"])) == (record["accuracy"], record["loss"])


def test_runs_that_differ_in_nothing_are_called_by_their_folders():
    runs = [comparison.Run(name, {"lr": 0.1, "out_dir": name}, 0.9, 0.1) for name in ("a", "b")]
    assert comparison.labels(runs) == ["a", "b"]
    others = [*runs, comparison.Run("c", {"lr": 0.2}, 0.9, 0.1)]
    assert comparison.labels(others) == ["lr=0.1", "lr=0.1", "lr=0.2"]


def test_show_without_a_display_is_one_line(tmp_path, monkeypatch, capsys):
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(display.sys, "platform", "linux")
    simulate(tmp_path / "batch" / "job", show=True, research_only=True)
    output = [line for line in capsys.readouterr().out.splitlines() if line.startswith("show:")]
    assert output == [f"show: there is no display here; the figures are in {tmp_path / 'batch' / 'job'}"]


def test_show_with_a_display_that_does_not_answer_fails_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("DISPLAY", ":4711")
    monkeypatch.setattr(display, "TOOLKITS", ("TkAgg",))
    picture = tmp_path / "a.png"
    plots.curves([], tmp_path).rename(picture)
    assert display.show([picture], lambda: False)


@pytest.mark.filterwarnings("ignore:FigureCanvasAgg is non-interactive")
def test_show_opens_a_window_for_each_picture_until_a_stop_request(tmp_path, monkeypatch):
    import matplotlib.pyplot as plt

    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(display, "TOOLKITS", ("none_such", "agg"))  # agg draws, but on no screen
    seen = []

    def stop() -> bool:
        seen.append(plt.get_figlabels())
        return len(seen) > 2

    pictures = [plots.curves([], tmp_path), plots.compression([{"layer": 1, "participation_ratio": 2.0}], tmp_path)]
    assert display.show(pictures, stop) is None
    assert seen == [["curves", "research_compression"]] * 3 and plt.get_fignums() == []
