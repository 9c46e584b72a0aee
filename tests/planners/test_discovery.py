"""Which configs of a tree are found, and how their folders are called."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from runner.core.errors import UserError
from runner.planners import programs
from runner.planners.discovery import Search, discover
from tests.conftest import PROJECT


def planted(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x: 1\n")
    return root


def names(root: Path, **search: object) -> list[str]:
    return [found.name for found in discover(Search(root, **search))]  # type: ignore[arg-type]


FOUND: list[tuple[str, list[str], dict[str, object], list[str]]] = [
    ("mirrored, in natural order", ["B/x10.yaml", "B/x2.yaml", "A/deep/er/y.json"], {},
     ["A/deep/er/y", "B/x2", "B/x10"]),
    ("not beside the subdirectories", ["x.yaml", "A/y.yaml"], {}, ["A/y"]),
    ("dots in a stem stay", ["A/v1.2.final.yaml"], {}, ["A/v1.2.final"]),
    ("bases are passed over", ["A/_b.yaml", "A/base.yaml", "A/base.small.json", "A/_in/y.yaml", "_A/z.yaml",
                               "A/baseline.yaml", ".h/a.yaml", "A/.b.yaml"], {}, ["A/baseline"]),
    ("other kinds are passed over", ["A/x.py", "A/x.txt", "A/README.md", "A/y.YML"], {}, ["A/y"]),
    ("kinds can be chosen", ["A/x.py", "A/y.json", "A/z.yaml"], {"extensions": "py, .json"}, ["A/x", "A/y"]),
    ("ignored by name or by path", ["A/my_template_1.yaml", "A/README.yaml", "A/old/x.yaml", "A/y.yaml"],
     {"ignore": ["*template*", "*README*", "A/old/*"]}, ["A/y"]),
    ("named subdirectories", ["A/x.yaml", "my-set/x.yaml", "C/x.yaml"], {"subdirs": ["my-set"]}, ["my-set/x"]),
    ("one stem, several kinds", ["A/x.yaml", "A/x.json", "A/x.yml"], {}, ["A/x-json", "A/x", "A/x-yml"]),
    ("the first kind keeps the stem", ["A/x.yaml", "A/x.json"], {"extensions": "json,yaml"}, ["A/x", "A/x-yaml"]),
    ("the other name is taken, too", ["A/x.yaml", "A/x.json", "A/x-json.yaml"], {},
     ["A/x-json", "A/x-json-2", "A/x"]),
    ("no run within another", ["A/x.yaml", "A/x/y.yaml"], {}, ["A/x-yaml", "A/x/y"]),
    ("case matters", ["A/x.yaml", "A/X.yaml"], {}, ["A/X", "A/x-yaml"]),
]  # fmt: skip


@pytest.mark.parametrize(("files", "search", "expected"), [row[1:] for row in FOUND], ids=[row[0] for row in FOUND])
def test_configs_are_found_and_named(
    tmp_path: Path, files: list[str], search: dict[str, object], expected: list[str]
) -> None:
    found = names(planted(tmp_path, *files), **search)
    assert sorted(found) == sorted(expected)
    assert len({name.casefold() for name in found}) == len(found)
    if "natural" in os.environ.get("PYTEST_CURRENT_TEST", ""):
        assert found == expected


@pytest.mark.parametrize(
    ("search", "expected"),
    [
        ({"extensions": "yaml,toml"}, "--extensions: .toml is not a kind of config; choose from .py, .yaml"),
        ({"extensions": ","}, "--extensions: names no kinds of configs"),
        ({"subdirs": ["IMAGES"]}, "has no subdirectory 'IMAGES'; did you mean 'IMAGE'?"),
    ],
)
def test_an_error_is_one_sentence(tmp_path: Path, search: dict[str, object], expected: str) -> None:
    with pytest.raises(UserError) as raised:
        names(planted(tmp_path, "IMAGE/x.yaml"), **search)
    assert expected in str(raised.value) and len(raised.value.problems) == 1


def test_a_missing_root_is_reported(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder; name the folder of the configs"):
        names(tmp_path / "nowhere")


# Programs of the user's own


def test_our_own_programs_are_thin_and_one_that_was_changed_is_not(tmp_path: Path) -> None:
    for subdir in ("IMAGE", "TABULAR", "VECTOR"):
        text = (PROJECT / "runners" / f"run_{subdir}.py").read_text()
        path = tmp_path / f"run_{subdir}.py"
        path.write_text(text + "# a remark\n")
        assert programs.is_thin(path)
        path.write_text(text.replace("(__file__)", "(__file__, model_name='CNN')"))
        assert not programs.is_thin(path)


def test_programs_are_found_by_the_name_of_the_subdirectory(tmp_path: Path) -> None:
    planted(tmp_path, "run_my-set.py", "run_other_set.py", "run_IMAGE.py", "run_all.py")
    found = programs.own(tmp_path, ["my-set", "other-set", "third-set", "IMAGE"])
    assert {name: path.name for name, path in found.items()} == {
        "my-set": "run_my-set.py", "other-set": "run_other_set.py", "IMAGE": "run_IMAGE.py",
    }  # fmt: skip


def test_a_program_that_is_not_python_is_not_a_thin_one(tmp_path: Path) -> None:
    (tmp_path / "x.py").write_text("print 'old'\n")
    assert not programs.is_thin(tmp_path / "x.py")
