"""The library of document 003: what a script with `@runner.experiment` does, as its user sees it."""

from __future__ import annotations

import pickle
import re
import subprocess
import sys

import pytest

from runner.core import redact
from runner.core.config import Config
from runner.core.errors import UserError
from runner.library import arguments
from runner.library.decorator import Incomplete, experiment
from tests.conftest import PROJECT, Workspace
from tests.library_script import COUNTED, DOCUMENTED, computed, folder, meta, run, script

REPORTED = "fast: 0.95\nslow: 0.95\n"


def test_an_option_that_is_given_twice_adds_up_or_is_an_error() -> None:
    assert arguments.parse(["--only", "a", "--only", "b", "c"], "main.py").only == ("a", "b", "c")
    assert arguments.parse([], "main.py").only == ()
    with pytest.raises(UserError, match="--workers: is given 2 times, as 2 and 4; give it once"):
        arguments.parse(["--workers", "2", "--workers=4"], "main.py")


def test_the_documented_example_four_times(work: Workspace) -> None:
    work.write("main.py", COUNTED)
    assert run(work).stdout == REPORTED
    assert computed(work) == ["fast", "slow"]
    assert pickle.loads((folder(work, "fast") / "result.pkl").read_bytes()) == {"accuracy": 0.95}
    assert run(work).stdout == REPORTED and len(computed(work)) == 2
    assert run(work, "--rerun").stdout == REPORTED and len(computed(work)) == 4
    assert run(work, "--report").stdout == REPORTED and len(computed(work)) == 4


def test_the_example_is_the_documents(work: Workspace) -> None:
    text = (PROJECT / "docs" / "library.md").read_text()
    assert DOCUMENTED in text
    assert DOCUMENTED.count("# Run your experiment") == 1 and "# Run" not in COUNTED


def test_the_worked_example_with_weights_works(work: Workspace) -> None:
    text = (PROJECT / "docs" / "library.md").read_text()
    work.write("main.py", re.search(r"<!-- example: weights.py -->\n```python\n(.*?)```", text, re.DOTALL)[1])  # type: ignore[index]
    assert run(work).stdout == "2 results; the best has 49 weights\n"
    assert (folder(work, "width 16") / "model.pt").is_file()
    assert "2 from the cache" in run(work).stderr


def test_report_alone_computes_nothing_and_names_what_is_missing(work: Workspace) -> None:
    script(work, "return config.x")
    done = run(work, "--report", code=1)
    assert computed(work) == [] and not (work / "out").exists()
    assert done.stdout == "" and "No result: a (not computed)" in done.stderr and "No report" in done.stderr
    run(work, "--only", "b")
    assert "No result: a" in run(work, "--report", code=1).stderr
    assert run(work, "--report", "--only", "b").stdout == "['b'] [2]\n"


def test_a_report_with_a_parameter_missing_gets_what_there_is(work: Workspace) -> None:
    path = script(work, "if config.x == 1: raise ValueError('no')\nreturn config.x")
    text = path.read_text().replace("def report(configs, results):", "def report(configs, results, missing):\n"
                                    "    print([config.name for config in missing])")  # fmt: skip
    path.write_text(text)
    assert run(work, code=1).stdout == "['a']\n['b'] [2]\n"


def test_a_failed_config_does_not_stop_the_others_and_is_never_cached(work: Workspace) -> None:
    script(work, "if config.x == 1: raise ValueError('no such\\nthing')\nreturn config.x")
    done = run(work, code=1)
    assert computed(work) == ["a", "b"] and "a: failed: ValueError: no such" in done.stderr
    failed = folder(work, "a")
    assert meta(failed)["status"] == "failed" and not (failed / "result.pkl").exists()
    trace = (failed / "error_details.txt").read_text()
    assert trace.startswith("Traceback") and "main.py" in trace and "runner/" not in trace
    assert '"ValueError"' in (failed / "error.json").read_text()
    run(work, code=1)
    assert computed(work) == ["a", "b", "a"]
    assert (failed / "attempt_1" / "error.json").exists()


@pytest.mark.parametrize("body", ["sys.exit('bye')", "return lambda: 1", "raise SystemExit(0)", "return open('runs')"])
def test_a_function_that_leaves_or_returns_what_cannot_be_kept_has_failed(work: Workspace, body: str) -> None:
    script(work, f"if config.x == 1: {body}\nreturn config.x")
    run(work, code=1)
    assert computed(work) == ["a", "b"] and meta(folder(work, "a"))["status"] == "failed"
    assert meta(folder(work, "b"))["status"] == "completed"


def test_what_cannot_be_loaded_again_has_failed_at_once(work: Workspace) -> None:
    script(work, "class Local:\n    def __reduce__(self): return (int, ('x',))\nreturn Local()", "[{'name': 'a'}]")
    assert "cannot be loaded" in run(work, code=1).stderr
    assert (folder(work, "a") / "error.json").exists()


def test_a_dry_run_lists_what_would_be_computed_and_writes_nothing(work: Workspace) -> None:
    script(work, "return config.x")
    assert "2 configs of 2 would be computed" in run(work, "--dry-run").stdout
    assert not (work / "out").exists()
    run(work, "--only", "a")
    assert "1 config of 2 would be computed" in run(work, "--dry-run").stdout
    assert computed(work) == ["a"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--only", "bb"], "--only bb: no such config; there are a, b"),
        (["--workers", "0"], "give 1 or more"),
        (["--report", "--rerun"], "--report computes nothing"),
        (["--re"], "unrecognized arguments: --re"),
    ],
)
def test_an_error_on_the_command_line_is_one_sentence_and_code_2(
    work: Workspace, words: list[str], message: str
) -> None:
    script(work, "return config.x")
    done = run(work, *words, code=2)
    assert message in done.stderr and "Traceback" not in done.stderr and computed(work) == []


def test_out_dir_is_the_folder_and_its_files_stay(work: Workspace) -> None:
    body = "(config.out_dir / 'model.pt').write_text('weights')\nreturn str(config.out_dir)"
    script(work, body, "[{'name': 'a'}]")
    assert run(work).stdout == f"['a'] ['{folder(work, 'a')}']\n"
    assert (folder(work, "a") / "model.pt").read_text() == "weights"


@pytest.mark.parametrize(
    ("name", "begins"),
    [("a/b c\\d", "a_b c_d-"), ("größe λ", "größe λ-"), ("x" * 300, "xxx"), ("../up", "_"), ("-f", "_"), ("🦊", "🦊-")],
)
def test_any_name_becomes_a_readable_safe_folder(work: Workspace, name: str, begins: str) -> None:
    script(work, "(config.out_dir / 'x').touch()\nreturn config.name", f"[{{'name': {name!r}}}]")
    assert run(work, PYTHONUTF8="1").stdout == f"[{name!r}] [{name!r}]\n"
    (made,) = (path for path in (work / "out").iterdir() if path.name != ".runner")
    assert made.name.startswith(begins) and len(made.name.encode()) < 150 and (made / "x").exists()
    run(work, PYTHONUTF8="1")
    assert (work / "runs").read_text().count("\n") == 1


def test_configs_equal_but_for_the_name_are_computed_once_and_have_a_folder_each(work: Workspace) -> None:
    equal = "[{'name': 'a', 'x': 1}, {'name': 'b', 'x': 1}, {'name': 'a', 'x': 1}]"
    script(work, "(config.out_dir / 'model.pt').write_text('w')\nreturn config.x", equal)
    assert run(work).stdout == "['a', 'b', 'a'] [1, 1, 1]\n" and computed(work) == ["a"]
    duplicate = folder(work, "b")
    assert (duplicate / "model.pt").exists() and meta(duplicate)["name"] == "b"
    assert meta(duplicate)["copied_from"] == str(folder(work, "a"))
    run(work, "--rerun")
    assert computed(work) == ["a", "a"]


def test_different_configs_with_one_hash_are_an_error_that_names_both(monkeypatch: pytest.MonkeyPatch) -> None:
    from runner.library import plan

    monkeypatch.setattr(plan, "digest", lambda text: "0" * 16)
    made = experiment(lambda config: None)
    with pytest.raises(UserError, match=r"config 2 \(two\) and config 1 \(one\) differ and have one hash"):
        made.run(configs=lambda: [{"name": "one", "x": 1}, {"name": "two", "x": 2}])


def test_all_errors_in_configs_are_reported_at_once_with_their_place(work: Workspace) -> None:
    wrong = "[{'name': 'a', 'm': {'layers': [1, {'init': print}]}}, {'name': 3}, {'name': 'c'}, 7]"
    script(work, "return 1", wrong)
    done = run(work, code=2)
    assert "config 1, m.layers[1].init: a value of type" in done.stderr
    assert "config 2: its name is 3" in done.stderr and "config 4: is a int" in done.stderr
    assert computed(work) == []


def test_the_function_may_change_its_config(work: Workspace) -> None:
    body = "config.x = config['layers'].append(9)\nreturn config.layers"
    script(work, body, "[{'name': 'a', 'x': 1, 'layers': [1]}]")
    assert run(work).stdout == "['a'] [[1, 9]]\n" == run(work).stdout
    assert computed(work) == ["a"]


def test_functions_and_folder_can_be_given(work: Workspace) -> None:
    text = script(work, "return config.x").read_text()
    configs, printed = "lambda: [{'name': 'c', 'x': 3}]", "lambda configs, results: print(results)"
    given = f"experiment.run(configs={configs}, report={printed}, output_dir='results/')"
    work.write("main.py", text.replace("    experiment.run()", f"    {given}"))
    assert run(work).stdout == "[3]\n" and folder(work, "c", "results").is_dir() and not (work / "out").exists()


PROGRAM = """\
import sys, runner
assert sys.argv[1:] == ["--port", "80", "--report"]
@runner.experiment
def square(config): return config.x ** 2
got = square.run(configs=lambda: [{"name": "a", "x": 3}], report=lambda configs, results: print(configs[0].x),
                 output_dir="out_" + __name__.strip("<>"))
assert got == [9], got
"""


def test_the_arguments_of_another_program_are_left_alone(work: Workspace) -> None:
    """As a module of another program, as a notebook's cell is run, and as code that another program runs as main."""
    work.write("part.py", PROGRAM)
    work.write("main.py", "import part\n")
    work.write("cell.py", f"exec(compile({PROGRAM!r}, 'cell', 'exec'), {{'__name__': '__main__'}})\n")
    work.write("host.py", "import runpy; runpy.run_path('part.py')\n")
    for program in ("main.py", "cell.py", "host.py"):
        assert run(work, "--port", "80", "--report", program=program).stdout == "3\n"


def test_in_another_program_a_failure_is_an_exception_and_the_rest_is_kept(
    tmp_path, capsys: pytest.CaptureFixture[str]
) -> None:
    @experiment
    def half(config: Config) -> float:
        return float(1 / config.x)

    configs = [{"name": "zero", "x": 0}, {"name": "two", "x": 2}]
    with pytest.raises(Incomplete) as caught:
        half.run(configs=lambda: configs, output_dir=tmp_path)
    assert caught.value.missing == {"zero": "ZeroDivisionError: division by zero"}
    assert half.run(configs=lambda: configs[1:], output_dir=tmp_path) == [0.5]
    assert capsys.readouterr().out == ""


def test_it_works_in_another_thread(tmp_path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    made = experiment(lambda config: config.x)
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(made.run, lambda: [{"name": "a", "x": 7}], None, tmp_path, None).result() == [7]


def test_results_are_a_table(tmp_path) -> None:
    @experiment
    def train(config: Config) -> dict[str, float]:
        if config.lr > 1:
            raise ValueError("diverged")
        return {"loss": config.lr * 2, "lr": 5.0}

    configs = [{"name": str(lr), "lr": lr, "net": {"depth": 2}} for lr in (0.1, 0.5, 7)]
    assert [row["status"] for row in train.results(lambda: configs, tmp_path)] == ["missing"] * 3
    with pytest.raises(Incomplete):
        train.run(configs=lambda: configs, output_dir=tmp_path)
    rows = train.results()
    assert [row["status"] for row in rows] == ["completed", "completed", "failed"]
    assert rows[0]["net.depth"] == 2 and rows[0]["loss"] == 0.2 and (rows[0]["lr"], rows[0]["result.lr"]) == (0.1, 5.0)
    assert rows[0]["stale"] is False and rows[0]["seconds"] >= 0


def test_a_table_becomes_a_frame(tmp_path) -> None:
    pandas = pytest.importorskip("pandas")
    made = experiment(lambda config: {"y": config.x + 1})
    made.run(configs=lambda: [{"name": "a", "x": 1}, {"name": "b", "x": 2}], output_dir=tmp_path)
    frame = made.results().to_frame()
    assert isinstance(frame, pandas.DataFrame) and list(frame["y"]) == [2, 3] and list(frame["name"]) == ["a", "b"]


def test_without_pandas_the_error_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    from runner.reports.table import Table

    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="pip install pandas"):
        Table([{"a": 1}]).to_frame()


@pytest.mark.parametrize("wrong", ["2", object()])
def test_only_a_function_can_be_decorated(wrong: object) -> None:
    with pytest.raises(TypeError, match="decorates a function that takes a config"):
        experiment(wrong)  # type: ignore[call-overload]


def test_help_names_every_option(work: Workspace) -> None:
    script(work, "return 1")
    output = run(work, "--help").stdout
    for word in ("--report", "--rerun", "--dry-run", "--only", "--workers", "--isolate", "--code", "main.py"):
        assert word in output


@pytest.mark.parametrize("name", ["api_key", "hfToken", "PASSWORD", "passphrase", "db.passwd", "credentials", "Secret"])
def test_the_quick_search_for_secrets_misses_none(name: str) -> None:
    assert redact.is_secret(name, "x") and redact.may_hold(f'{{"{name}":"x"}}') and not redact.may_hold('{"lr":0.1}')


def test_a_result_is_used_although_its_record_hides_what_is_no_secret_today(work: Workspace) -> None:
    script(work, "return 1", "[{'name': 'a', 'pad_token': '<pad>', 'n': {'sort_key': 'loss'}}]")
    run(work)
    path = folder(work, "a") / "meta.json"
    assert '"<pad>"' in path.read_text()
    path.write_text(path.read_text().replace('"<pad>"', '"***"').replace('"loss"', '"***"'))  # as 0.1.0 wrote it
    run(work)
    assert computed(work) == ["a"]


def test_secrets_reach_no_record(work: Workspace) -> None:
    script(work, "return 1", "[{'name': 'a', 'x': 1, 'hf_token': 'abc123xyz'}]")
    run(work)
    found = subprocess.run(["grep", "-r", "abc123xyz", "out"], cwd=work.folder, capture_output=True, check=False)
    assert found.returncode == 1 and meta(folder(work, "a"))["config"]["hf_token"] == "***"
    run(work)
    assert computed(work) == ["a"]
