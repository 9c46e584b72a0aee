"""Estimates by train_run.py: what they write and print, how they stop, what is refused before anything starts."""

import csv
import json
import math
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import configurator
from model.regressors import Regressor
from pipelines.llc import settings as keys
from pipelines.llc.diagnostics import effective
from pipelines.llc.estimation import Progress, Stopped, choose_device, estimate
from pipelines.llc.settings import DataSettings, LlcSettings, ModelSettings, layer_sizes, parameter_count
from pipelines.llc.target import regression
from pipelines.llc.train import run
from pipelines.shared.errors import Diverged, InputError
from pipelines.shared.metrics import Tracker
from runner.configs import config_file
from runner.core.errors import UserError
from tests.conftest import PROJECT, signalled_at

pytestmark = pytest.mark.slow

ASKED = ["sampler", "llc_mean", "llc_std", "ess", "r_hat", "acceptance", "draws", "seconds"]
SHORT = {"warmup": 10, "draws": 20}
QUICK = {"adam_steps": 100, "lbfgs_steps": 100}


def settings_of(out_dir: Path, **sampler) -> LlcSettings:
    parts = {"chains": 3, "sgld": SHORT, "hmc": SHORT, "mala": SHORT, **sampler}
    return LlcSettings.model_validate(
        {"out_dir": str(out_dir), "device": "cpu", "plots": False, "model": QUICK, "sampler": parts}
    )


def table(out_dir: Path) -> dict[str, dict[str, str]]:
    with (out_dir / "metrics_summary.csv").open() as file:
        return {row["sampler"]: row for row in csv.DictReader(file)}


def start(*words: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(PROJECT / "train_run.py"), *map(str, words)], stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.mark.slow
def test_the_small_config_is_estimated_by_three_samplers_that_agree(tmp_path):
    child = start(PROJECT / "config/llc/llc_small.yaml", f"--out_dir={tmp_path}", "--device=cpu")
    out, errors = child.communicate(timeout=150)
    assert child.returncode == 0, errors
    rows = table(tmp_path)
    assert list(rows) == ["sgld", "hmc", "mala"] and list(rows["hmc"])[: len(ASKED)] == ASKED
    found = {name: (float(row["llc_mean"]), float(row["mcse"])) for name, row in rows.items()}
    for name, (mean, error) in found.items():
        others = [found[other] for other in found if other != name]
        # 5 percent more for SGLD, whose bias that may be.
        assert all(abs(mean - there) < 4 * math.hypot(error, more) + 0.05 * there for there, more in others), found
        assert 0 < mean < 25 and error < 0.5
    assert rows["sgld"]["acceptance"] == "" and 0.7 < float(rows["hmc"]["acceptance"]) < 0.9
    assert {path.name for path in tmp_path.iterdir()} == {
        "config.yaml", "metrics.jsonl", "metrics_summary.csv", "minimum.json", "w0.npy",
        *(f"traces_{name}.npz" for name in rows), *(f"trace_{name}.png" for name in rows),
    }  # fmt: skip
    minimum = json.loads((tmp_path / "minimum.json").read_text())
    assert minimum["parameters"] == 50 and minimum["reached"] and minimum["gradient_norm"] < 1e-6
    assert minimum["n_beta"] == pytest.approx(100 / math.log(100))
    assert "minimum: loss " in out and "iter 1800: mala, sampling, 600 of 600 draws" in out


def test_the_summary_follows_from_the_traces(tmp_path):
    assert run(settings_of(tmp_path)) == 0
    for name, row in table(tmp_path).items():
        saved = np.load(tmp_path / f"traces_{name}.npz")
        coefficients = saved["strength"] * (saved["losses"] - saved["loss_at_w0"])
        assert coefficients.shape == (3, 20) and saved["warmup"].shape == (3, 10)
        assert float(row["llc_mean"]) == pytest.approx(coefficients.mean())
        assert float(row["llc_std"]) == pytest.approx(coefficients.mean(1).std(ddof=1))
        assert float(row["ess"]) == pytest.approx(effective(coefficients)) and row["draws"] == "60"
    target, _ = regression(settings_of(tmp_path), torch.device("cpu"))
    w0 = torch.from_numpy(np.load(tmp_path / "w0.npy"))
    assert target.loss(w0, *target.data).item() == pytest.approx(float(saved["loss_at_w0"]))


def test_the_written_config_gives_the_same_estimate_again(tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    assert run(settings_of(one)) == 0
    written = config_file.read(one / "config.yaml")
    again = configurator.resolve(written, {"out_dir": str(other)})
    assert isinstance(again, LlcSettings) and run(again) == 0
    first, second = table(one), table(other)
    for name in first:
        assert {k: v for k, v in first[name].items() if k != "seconds"} == {
            k: v for k, v in second[name].items() if k != "seconds"
        }


def test_a_sampler_gives_the_same_whichever_others_run(tmp_path):
    assert run(settings_of(tmp_path / "all")) == 0
    assert run(settings_of(tmp_path / "one", names=["mala"])) == 0
    assert table(tmp_path / "all")["mala"]["llc_mean"] == table(tmp_path / "one")["mala"]["llc_mean"]


def test_the_usual_aggregation_reads_config_and_table(tmp_path):
    pandas, omegaconf = pytest.importorskip("pandas"), pytest.importorskip("omegaconf")
    assert run(settings_of(tmp_path, hmc={**SHORT, "step_size": 1e9})) == 0
    metrics = pandas.read_csv(tmp_path / "metrics_summary.csv", index_col=0).to_dict("index")
    config = omegaconf.OmegaConf.load(tmp_path / "config.yaml")
    assert (config.data.n_data, config.model.target_params, config.seed) == (100, 50, 0)
    assert metrics["sgld"]["ess"] > 0 and math.isnan(metrics["hmc"]["ess"])
    assert metrics["hmc"]["flags"].startswith("chain 0 does not move; chain 1 does not move")


def test_an_estimate_replaces_all_files_of_the_one_before(tmp_path):
    assert run(settings_of(tmp_path)) == 0
    assert run(settings_of(tmp_path, names=["hmc"])) == 0
    assert list(table(tmp_path)) == ["hmc"] and [path.name for path in tmp_path.glob("*.npz")] == ["traces_hmc.npz"]


def test_chains_that_diverge_fail_the_job_after_everything_is_written(tmp_path):
    with pytest.raises(Diverged, match="chains of sgld are not finite"):
        run(settings_of(tmp_path, sgld={**SHORT, "step_size": 1e3}))
    rows = table(tmp_path)
    assert list(rows) == ["sgld", "hmc", "mala"] and rows["sgld"]["nonfinite_chains"] == "3"
    assert "chain 0 is not finite from draw 1 on" in rows["sgld"]["flags"] and rows["hmc"]["nonfinite_chains"] == "0"
    assert json.loads((tmp_path / "error.json").read_text())["type"] == "Diverged"


def test_a_signal_leaves_with_the_samplers_that_had_finished(tmp_path):
    config = tmp_path / "c.yaml"
    endless = {"warmup": 10, "draws": 10**6}
    parts = json.dumps({"names": ["hmc", "mala"], "hmc": SHORT, "mala": endless})
    model = json.dumps(QUICK)
    config.write_text(f"pipeline: llc\nplots: false\nlog_seconds: 0\nmodel: {model}\nsampler: {parts}\n")
    child = start(config, f"--out_dir={tmp_path / 'out'}", "--device=cpu")
    out, errors = signalled_at(child, "iter 40: mala", signal.SIGINT)
    assert child.returncode == 130, errors
    assert list(table(tmp_path / "out")) == ["hmc"] and "stopped by a signal after" in out
    assert errors == "" and not (tmp_path / "out" / "traces_mala.npz").exists()


@pytest.mark.parametrize("stage", ["adam", "lbfgs", "mala"])
def test_a_stop_request_takes_effect_at_the_next_evaluation_of_the_loss(tmp_path, stage):
    """An iteration of L-BFGS, or a draw, may take many of them, each of a second where the network is large."""
    parts = {"adam": {"adam_steps": 10**6}, "lbfgs": {"adam_steps": 0, "gradient": 1e-300}, "mala": QUICK}[stage]
    endless = {"warmup": 1, "draws": 10**6, "steps_per_draw": 10**6 if stage == "mala" else 1}
    settings = settings_of(tmp_path, names=["mala"], mala=endless).model_copy(
        update={"model": ModelSettings(**{"lbfgs_steps": 10**6, **parts})}
    )
    asked = 0

    def stop() -> bool:
        nonlocal asked
        asked += 1
        return asked >= 1000

    with Tracker(settings, tmp_path, 1) as tracker, pytest.raises(Stopped):
        estimate(settings, tmp_path, tracker, Progress(1), stop)
    assert asked == 1000


# Settings.


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("model: {target_params: 3}\n", "c.yaml:1: model.target_params (3): no mlp with 3 inputs, 5 outputs and 1"),
        ("seed: 1\ndata: {n_data: 1}\n", "c.yaml:2: data.n_data must be greater than or equal to 2, not 1"),
        ("data:\n  n_data: 9\n  ndata: 1\n", "c.yaml:3: data.ndata: unknown key"),
        ("sampler: {names: []}\n", "names must have at least one sampler"),
        ("sampler: {names: [nuts]}\n", "sampler.names[0] must be one of 'sgld', 'hmc', 'mala', not 'nuts'"),
        ("sampler: {gamma: 0}\n", "sampler.gamma must be greater than 0, not 0"),
        ("sampler: {sgld: {bias: 2}}\n", "sampler.sgld.bias must be less than 1, not 2"),
        ("device: gpu\n", "did you mean 'cuda'?"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused_in_a_sentence(tmp_path, text, sentence):
    (tmp_path / "c.yaml").write_text(text + "pipeline: llc\n")
    with pytest.raises(UserError) as caught:
        configurator.resolve(config_file.read(tmp_path / "c.yaml"), {})
    assert len(caught.value.problems) == 1 and sentence in caught.value.problems[0]


def test_a_config_without_a_pipeline_is_recognized_by_its_keys(tmp_path):
    (tmp_path / "c.yaml").write_text("seed: 1\ndata: {n_data: 50}\nmodel: {target_params: 60}\n")
    assert isinstance(configurator.resolve(config_file.read(tmp_path / "c.yaml"), {}), LlcSettings)


@pytest.mark.parametrize(("name", "n", "expected"), [("llc_small", 100, 50), ("llc_base", 20_000, 10_000)])
def test_the_configs_have_the_sizes_that_their_names_promise(name, n, expected):
    settings = configurator.resolve(config_file.read(PROJECT / f"config/llc/{name}.yaml"), {})
    assert isinstance(settings, LlcSettings)
    assert (settings.data.n_data, settings.model.target_params) == (n, expected)
    sizes = layer_sizes(settings.model, settings.data)
    assert parameter_count(sizes, settings.model.kind) == Regressor(sizes).count == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("kind", ["mlp", "linear"])
@pytest.mark.parametrize("layers", [1, 2, 3])
def test_the_count_of_parameters_is_that_of_the_network(kind, layers):
    model, data = ModelSettings(kind=kind, hidden_layers=layers, target_params=400), DataSettings(inputs=4, outputs=2)
    sizes = layer_sizes(model, data)
    student = Regressor(sizes, kind == "linear")
    assert len(student.draw(torch.Generator())) == student.count == parameter_count(sizes, kind)
    assert all(abs(parameter_count((4, *[width] * layers, 2), kind) - 400) >= abs(student.count - 400)
               for width in range(1, 100))  # fmt: skip


def test_a_network_answers_as_the_layers_that_its_vector_holds():
    network = Regressor((2, 3, 1))
    w = torch.randn(4, network.count, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x = torch.randn(5, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    for one, answers in zip(w, network(w, x), strict=True):
        first, bias, second, last = one[:6].view(3, 2), one[6:9], one[9:12].view(1, 3), one[12:]
        assert torch.allclose(answers, torch.tanh(x @ first.T + bias) @ second.T + last)


def test_beta_is_one_over_log_n_unless_it_is_given():
    assert keys.beta(LlcSettings()) == pytest.approx(1 / math.log(100))
    assert keys.beta(LlcSettings.model_validate({"sampler": {"beta": 0.5}})) == 0.5


def test_apples_gpu_is_refused_since_it_has_no_float64(monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match="float64"):
        choose_device("mps")
    assert choose_device("auto") == torch.device("cpu")


def test_settings_are_read_without_torch_and_numpy():
    program = "import sys, pipelines.llc.settings; print([m for m in ('torch', 'numpy', 'scipy') if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", program], cwd=PROJECT, text=True) == "[]\n"
