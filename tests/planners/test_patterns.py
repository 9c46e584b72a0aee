"""Patterns of configs, and the names that jobs get from them."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from runner.cli import searching
from runner.core.names import natural
from runner.planners.matching import matches
from runner.planners.names import distinct
from runner.planners.pattern_words import braces
from tests.conftest import PROJECT, RUN_EXPERIMENTS, Workspace


def test_quoted_patterns_are_expanded_in_natural_order(echo: Workspace) -> None:
    for number in (1, 2, 10):
        echo.write(f"d/run{number}.py", "")
    echo.write("d/deep/er/run3.py", "")
    echo.run("--configs", "d/run*.py", "--train_script", "echo.py", code=0)
    assert list(echo.summary["results"]) == ["run1", "run2", "run10"]
    echo.run("--configs", "c/a.py", "d/**/run*.py", "--train_script", "echo.py", code=0)
    assert list(echo.summary["results"]) == ["a", "run3", "run1", "run2", "run10"]


def test_the_same_file_twice_runs_once(echo: Workspace) -> None:
    (echo / "link.py").symlink_to(echo / "c/a.py")
    echo.run("--configs", "c/a.py", "c/*.py", "./c/a.py", "link.py", "--train_script", "echo.py", code=0)
    assert list(echo.summary["results"]) == ["a"]


def test_unquoted_patterns_come_expanded_by_the_shell(echo: Workspace) -> None:
    echo.write("c/b.py", "")
    command = f"{sys.executable} {RUN_EXPERIMENTS} --configs c/*.py --train_script echo.py"
    subprocess.run(command, shell=True, cwd=echo.folder, check=True, capture_output=True)
    assert list(echo.summary["results"]) == ["a", "b"]


def test_a_name_with_brackets_is_a_name_if_it_exists(echo: Workspace) -> None:
    echo.write("c/x[1].py", "")
    echo.run("--configs", "c/x[1].py", "--train_script", "echo.py", code=0)
    assert list(echo.summary["results"]) == ["x[1]"]


def test_a_pattern_that_matches_nothing_shows_the_nearest_names(echo: Workspace) -> None:
    done = echo.run("--configs", "c/aa.py", "k/*.py", "--train_script", "echo.py", code=2)
    assert "c/aa.py: no file has this name; nearest: c/a.py" in done.stderr
    assert "k/*.py: no file matches; nearest:" in done.stderr
    assert not (echo / "experiments").exists()


def test_a_folder_is_not_a_config_and_the_pattern_is_shown(echo: Workspace) -> None:
    assert '"c/*.py"' in echo.run("--configs", "c", "--train_script", "echo.py", code=2).stderr


def test_the_projects_scripts_among_the_matches_are_named_and_left_out(echo: Workspace) -> None:
    done = subprocess.run(
        [sys.executable, str(RUN_EXPERIMENTS), "--configs", "*.py", "--dry-run"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert ", ".join(sorted(path.name for path in PROJECT.glob("*.py"))) in done.stderr
    assert "config/" in done.stderr
    scripts = ("c/a.py", PROJECT / "train_run.py", "echo.py")
    done = echo.run("--configs", *scripts, "--train_script", "echo.py", "--dry-run", code=0)
    assert "own scripts" in done.stdout.splitlines()[0] and "1 job would run" in done.stdout


def test_a_bare_name_is_found_among_the_projects_configs(work: Workspace) -> None:
    done = work.run("--configs", "easy_first.py", "moderate_first.py", "--batch_size", 16, "--dry-run", code=0)
    assert "config/shkspr_char_diff/easy_first.py" in done.stdout and "moderate_first" in done.stdout


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["a/x.py", "b/x.py"], ["a-x", "b-x"]),
        (["a/x.py", "a/y.py"], ["x", "y"]),
        (["p/a/x.py", "q/a/x.py", "b/x.py"], ["p-a-x", "q-a-x", "q-b-x"]),
        (["r/a/x.py", "r/a/x.yaml"], ["x-py", "x-yaml"]),
        (["a/Run.py", "a/run.py"], ["Run", "run-2"]),
        (["plan.json.py", "x.py"], ["plan.json-2", "x"]),
        (["-rf.py", "..py", "a\nb.py"], ["_rf", "_", "a_b"]),
    ],
)
def test_names_are_distinct_readable_and_safe(paths: list[str], names: list[str]) -> None:
    if paths[0].startswith("p/"):
        paths = ["/p/a/x.py", "/q/a/x.py", "/q/b/x.py"]
    found = distinct([Path("/" + path.lstrip("/")) for path in paths], {"plan.json"})
    assert found == names or paths[0].startswith("r/")
    assert len({name.casefold() for name in found}) == len(paths)


@pytest.mark.parametrize("folder", ["run[1] x", "a*b", "what?", "{x,y}"])
def test_special_characters_in_a_folders_name_hide_nothing(work: Workspace, folder: str) -> None:
    work.write(f"{folder}/c/a.py", "x = 1\n")
    work.write(f"{folder}/c/d/b.py", "x = 1\n")
    inside = Workspace(work / folder)
    names = ["a", "b"]
    command = ("--command", "true {config}", "--dry-run", "--json")
    for where, pattern in ((inside, "c/**/*.py"), (work, f"{folder}/c/**/*.py"), (work, f"{inside.folder}/**/*.py")):
        plan = json.loads(where.run("--configs", pattern, *command, code=0).stdout)
        assert [job["name"] for job in plan["jobs"]] == names, pattern


def test_a_part_of_a_pattern_that_exists_is_meant_by_its_name(tmp_path: Path) -> None:
    for name in ("c[1]/a.py", "c1/b.py"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text("")
    assert matches("c[1]/*.py", tmp_path).files == [tmp_path / "c[1]/a.py"]
    assert matches("c?/*.py", tmp_path).files == [tmp_path / "c1/b.py"]


def test_links_that_lead_upwards_end(tmp_path: Path) -> None:
    """Two of them make 2**40 paths of which a kernel resolves the first forty links."""
    deep = tmp_path / "g" / "x"
    deep.mkdir(parents=True)
    (deep / "a.py").write_text("")
    for name, target in (("l1", "../../g"), ("l2", "../../g"), ("self", "self"), ("gone", "nowhere")):
        (deep / name).symlink_to(target)
    read: list[Path] = []
    assert matches("g/**/*.py", tmp_path, read.append).files == [deep / "a.py"]
    assert matches("**/a.py", tmp_path).files == [deep / "a.py"]
    assert matches("**", tmp_path).files == [deep / "a.py"]
    assert len(read) < 10


def test_a_link_is_followed_where_it_is_named_and_where_it_leads_elsewhere(tmp_path: Path) -> None:
    for name in ("elsewhere/a.py", "elsewhere/in/b.py", "g/c.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    (tmp_path / "link").symlink_to("elsewhere")
    (tmp_path / "g/other").symlink_to("../elsewhere")
    assert matches("link/*.py", tmp_path).files == [tmp_path / "link/a.py"]
    assert matches("link/**/*.py", tmp_path).files == [tmp_path / "link/a.py", tmp_path / "link/in/b.py"]
    assert matches("g/**/*.py", tmp_path).files == [
        tmp_path / "g/c.py", tmp_path / "g/other/a.py", tmp_path / "g/other/in/b.py",
    ]  # fmt: skip
    # A folder that is below the top itself is found there, not behind a link to it.
    (tmp_path / "a_link").symlink_to("elsewhere")
    assert matches("**/b.py", tmp_path).files == [tmp_path / "elsewhere/in/b.py"]


def test_names_that_begin_with_an_underscore_are_left_out_unless_they_are_named(echo: Workspace) -> None:
    for name in ("__init__", "_base", "conftest", "_old/b"):
        echo.write(f"c/{name}.py", "x = 1\n")
    run = ("--train_script", "echo.py", "--dry-run")
    out = echo.run("--configs", "c/**/*.py", *run, code=0).stdout
    assert "1 job would run" in out
    assert "c/__init__.py, c/_base.py, c/_old/b.py, c/conftest.py" in out.splitlines()[0]
    for named in ("c/_base.py", "c/_*e.py", "c/__init__.py", "c/_old/*.py"):
        out = echo.run("--configs", named, *run, code=0).stdout
        assert "1 job would run" in out and "left out" not in out
    assert "c/_base.py" in echo.run("--configs", "c/[_]*.py", *run, code=2).stderr


def test_a_pattern_that_the_shell_has_expanded_leaves_them_out_as_well(echo: Workspace) -> None:
    for name in ("__init__", "_base", "b"):
        echo.write(f"c/{name}.py", "x = 1\n")
    expanded = ("c/__init__.py", "c/_base.py", "c/a.py", "c/b.py")
    run = ("--train_script", "echo.py", "--dry-run")
    assert "2 jobs would run" in echo.run("--configs", *expanded, *run, code=0).stdout
    assert "2 jobs would run" in echo.run("--configs", "c/_base.py", "c/a.py", *run, code=0).stdout


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("c/{a,b}.py", ["c/a.py", "c/b.py"]),
        ("{c,d/{e,f}}/x", ["c/x", "d/e/x", "d/f/x"]),
        ("r{8..10}", ["r8", "r9", "r10"]),
        ("r{08..10}{a,}", ["r08a", "r08", "r09a", "r09", "r10a", "r10"]),
        ("r{2..1}", ["r2", "r1"]),
        ("{x}", ["{x}"]),
        ("{a,b", ["{a,b"]),
        ("{1..999999999}", ["{1..999999999}"]),
    ],
)
def test_braces_are_alternatives(text: str, names: list[str]) -> None:
    assert braces(text) == names


@pytest.mark.parametrize("words", ["c/{b,a}.py", "c/b.py,c/a.py", "c/b.py, c/a.py,", "c/[b]*,c/a*"])
def test_several_configs_in_one_word(echo: Workspace, words: str) -> None:
    echo.write("c/b.py", "x = 1\n")
    plan = json.loads(echo.run("--configs", words, "--train_script", "echo.py", "--dry-run", "--json", code=0).stdout)
    assert [job["name"] for job in plan["jobs"]] == ["b", "a"]


def test_a_name_with_a_comma_or_braces_is_a_name_if_it_exists(echo: Workspace) -> None:
    echo.write("c/a.py,b.py", "")
    echo.write("c/{a,b}.py", "")
    done = echo.run("--configs", "c/a.py,b.py", "c/{a,b}.py", "--command", "true {config}", "--dry-run", code=0)
    assert "2 jobs would run" in done.stdout
    done = echo.run("--configs", "c/{a,z}.py", "c/a.py,c/y.py", "--command", "true {config}", "--dry-run", code=2)
    assert "c/z.py: no file" in done.stderr and "c/y.py: no file" in done.stderr


def test_a_list_of_patterns(echo: Workspace) -> None:
    for name in ("b", "#c", "d", "e"):
        echo.write(f"c/{name}.py", "x = 1\n")
    lines = ["\ufeff# best first\r", "c/b.py   # the best\r", "", "  'c/[d]*.py'", "c/#c.py", "@lists/more.txt"]
    echo.write("lists/first.txt", "\n".join(lines))
    echo.write("lists/more.txt", "c/{a,e}.py\n")
    run = ("--train_script", "echo.py", "--dry-run", "--json")
    plan = json.loads(echo.run("--configs", "@lists/first.txt", *run, code=0).stdout)
    found = [str(Path(job["config_path"]).relative_to(echo.folder)) for job in plan["jobs"]]
    assert found == ["c/b.py", "c/d.py", "c/#c.py", "c/a.py", "c/e.py"]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("c/a.py\nc/z.py\n", "l.txt:2: c/z.py: no file has this name"),
        ("# nothing\n", "@l.txt: the list is empty"),
        ("c/a.py\n@l.txt\n", "l.txt:2: @l.txt: the list names itself"),
        ("@m.txt\n", "l.txt:1: @m.txt: No such file"),
    ],
)
def test_errors_in_a_list_name_its_line(echo: Workspace, content: str, problem: str) -> None:
    echo.write("l.txt", content)
    assert problem in echo.run("--configs", "@l.txt", "--train_script", "echo.py", code=2).stderr


@pytest.mark.parametrize(
    ("exclude", "left"),
    [
        (["c/b.py"], ["a", "d"]),
        (["b.py"], ["a", "d"]),
        (["c/deep"], ["a", "b"]),
        (["c/deep/"], ["a", "b"]),
        (["deep/*"], ["a", "b", "d"]),
        (["*/deep/*", "--exclude", "./c/b*"], ["a"]),
        (["{a,b}.py"], ["d"]),
        (["../{folder}/c/*.py"], []),
    ],
)
def test_configs_are_excluded_by_name_path_or_folder(echo: Workspace, exclude: list[str], left: list[str]) -> None:
    for name in ("b", "deep/d"):
        echo.write(f"c/{name}.py", "x = 1\n")
    words = [word.replace("{folder}", echo.folder.name) for word in exclude]
    run = ("--configs", "c/**/*.py", "--train_script", "echo.py", "--dry-run", "--json", "--exclude", *words)
    done = echo.run(*run, code=0 if left else 2)
    if left:
        plan = json.loads(done.stdout)
        assert sorted(job["name"] for job in plan["jobs"]) == left
        assert bool(plan["notices"]) == (exclude == ["deep/*"])  # it matches nothing, which is said
    else:
        assert "--exclude leaves out every config" in done.stderr


def test_a_folder_is_answered_with_the_pattern_of_its_configs(work: Workspace) -> None:
    for name in ("y/a.yaml", "y/b.yaml", "y/c.py", "deep/in/a.json", "sh/a.sh"):
        work.write(name, "")
    err = work.run("--configs", "y", "deep/", "sh", "--command", "true {config}", "--dry-run", code=2).stderr
    for pattern in ('"y/*.yaml"', '"deep/**/*.json"', '"sh/*.sh"'):
        assert pattern in err


def test_unknown_names_are_not_answered_with_files_from_elsewhere(work: Workspace) -> None:
    work.write("w.txt", "")
    err = work.run("--configs", "qqqqqq.toml", "--command", "true {config}", "--dry-run", code=2).stderr
    assert "no file has this name; check the path" in err


def test_a_long_search_is_shown_on_a_terminal_and_erased(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(searching, "PATIENCE", 0.0)
    with searching.Searching() as visit:
        for number in range(3):
            visit(Path(f"/data/{number}"))
    assert "3 folders" not in terminal.getvalue()  # not more often than the eye can follow
    assert "1 folders, now /data/0" in terminal.getvalue() and terminal.getvalue().endswith("\r\x1b[K")
    monkeypatch.setattr(searching, "PATIENCE", 60.0)
    before = terminal.getvalue()
    with searching.Searching() as visit:
        visit(Path("/data"))
    assert terminal.getvalue() == before


def test_the_planning_of_many_configs_is_shown_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with searching.Searching() as shown:
        shown.planned(0, 999)
        assert terminal.getvalue() == ""
        shown.planned(0, 1000)
        assert "reading 1000 configs" in terminal.getvalue()
        monkeypatch.setattr(searching.time, "monotonic", lambda: 1e12)
        shown.planned(400, 1000)
    assert "planning 1000 configs: 400 done" in terminal.getvalue() and terminal.getvalue().endswith("\r\x1b[K")


def test_a_very_long_name_becomes_a_folder_that_can_be_made(echo: Workspace) -> None:
    echo.write(f"c/{'ü' * 120}.py", "")
    echo.write(f"c/{'ü' * 119}v.py", "")
    echo.run("--configs", "c/ü*.py", "--train_script", "echo.py", code=0)
    assert echo.summary["completed"] == 2


def test_natural_order() -> None:
    assert sorted(["b10", "b2", "a", "b1"], key=natural) == ["a", "b1", "b2", "b10"]
