"""A --command template: placeholders, braces, quotes, and overrides that would not reach the program."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest

from runner.core.errors import UserError
from runner.planners.command import errors
from runner.planners.template import Values, rendered, takes_overrides

CWD = Path("/work dir")
PRINT = "printf '<%s>' "


def words(template: str, *overrides: str, config: str = "/work dir/c/a.py") -> list[str]:
    values = Values(config, "/work dir/out/a", "a", "/usr/bin/python3", CWD, overrides)
    return list(rendered(shlex.split(template), values))


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Templates that name the script x are looked at where there is one."""
    (tmp_path / "x").write_text("")
    monkeypatch.chdir(tmp_path)


def problems(template: str, **settings: bool) -> list[str]:
    return list(errors(template, "--command", Path.cwd(), **{"python": False, **settings}))


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{config} -o {out_dir}/x --n={name}", ["/work dir/c/a.py", "-o", "/work dir/out/a/x", "--n=a"]),
        ("./{config} /data/{out_dir} {out_dir}/{name}", ["./c/a.py", "/data/out/a", "/work dir/out/a/a"]),
        ("awk '{{print $1}}' {config}", ["awk", "{print $1}", "/work dir/c/a.py"]),
        ("awk '{print $1}' {config}", ["awk", "{print $1}", "/work dir/c/a.py"]),
        ("a ${{HOME}} {{}} {{config}} {{{name}}}", ["a", "${HOME}", "{}", "{config}", "{a}"]),
        ("""a '{"x": {"y": "{name}"}}'""", ["a", '{"x": {"y": "a"}}']),
        ("""a '{{"x": {{"y": "{name}"}}}}'""", ["a", '{"x": {"y": "a"}}']),
        ("a {{print $1}} }}", ["a", "{print", "$1}", "}}"]),
    ],
)
def test_placeholders_and_braces(template: str, expected: list[str]) -> None:
    assert words(template) == expected


@pytest.mark.parametrize(
    ("style", "expected"),
    [
        ("{overrides}", ["--lr=-1e-3", "--amp=true", "--log=False", "--note=a b", "--x=1"]),
        ("{overrides:flags}", ["--lr=-1e-3", "--amp", "--no-log", "--note", "a b", "--x", "1"]),
        ("{overrides:hydra}", ["lr=-1e-3", "amp=true", "log=False", "note=a b", "x=1"]),
    ],
)
def test_overrides_have_the_style_of_the_program(style: str, expected: list[str]) -> None:
    given = ("--lr=-1e-3", "--amp=true", "--log=False", "--note=a b", "--x=1")
    assert words(f"t {style}", *given) == ["t", *expected]
    assert takes_overrides(["t", style]) and not takes_overrides(["t", "{config}"])
    assert shlex.split(words(f"sh -c 't {style}'", *given)[2]) == ["t", *expected]


@pytest.mark.parametrize("name", ["a b.py", "$(touch PWNED).py", "`touch PWNED`.py", "it's.py", 'a"b.py',
                                  "a;touch PWNED.py", "\\.py", "$HOME.py", "ü.py"])  # fmt: skip
@pytest.mark.parametrize(
    "command", [PRINT + "{config}", PRINT + '"{config}"', PRINT + "x={config}y", "cd / && " + PRINT + "{config};true"]
)
def test_a_path_in_a_shell_command_is_one_argument_and_is_not_executed(tmp_path: Path, name: str, command: str) -> None:
    argv = words(shlex.join(["sh", "-c", command]), config=f"/c/{name}")
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.replace("x=", "").replace(">", "").rstrip("y") == f"</c/{name}".replace(">", "").rstrip("y")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", [
    "bash -c 'bash -c \"python {config}\"'", "sh -c 'eval python {config}'", "sh -c 'x=`cat {config}`'",
    "sh -c 'cat <<E\n{config}\nE'", "bash -c 'ssh box python {config}'",
])  # fmt: skip
def test_a_value_that_cannot_be_written_safely_is_an_error(command: str) -> None:
    with pytest.raises(UserError, match=r"^--command: '/c/\$\(x\).py' cannot be written for \{config\}"):
        words(command, config="/c/$(x).py")
    assert "/c/a.py" in words(command, config="/c/a.py")[2]  # a harmless one is written as it is


def test_a_word_that_is_no_command_gets_the_path_as_it_is() -> None:
    assert words("t --config={config}", config="/c/it's a.py") == ["t", "--config=/c/it's a.py"]


@pytest.mark.parametrize(
    ("template", "cause"),
    [
        ("sh {konfig} {config}", "{konfig} is not a placeholder; did you mean {config}?"),
        ("sh ${HOME}/x {config}", "write {{HOME}} for the braces"),
        ("find {} {config}", "{} is not a placeholder"),
        ("sh {overrides:json} {config}", "{overrides:json} is not a placeholder"),
        ("sh x", "without {config}"),
        ("sh 'x {config}", "quot"),
        ("sh x {config} && echo done", "'&&' is understood by a shell only"),
        ("sh x {config} | tee log", "'|' is understood by a shell only"),
        ("sh x {config} >log", "'>' is understood by a shell only"),
        ("sh x {config}; true", "';' is understood by a shell only"),
        ("X=1 sh {config}", "begin with env, as in: env X=1"),
        ("nosuchprogram {config}", "not a program that can be started"),
        ("bash -c 'python t.py {config}' {overrides}", "does not use its arguments"),
        ("bash -c 'python t.py {config} \"$@\"' {overrides}", "is the first word after the command, $0"),
        ("bash -c 'python t.py {config} \"{overrides}\"'", "is within quotes"),
        ("env A=1 bash -lc 'python t.py {config} # {overrides}'", "is in a comment"),
    ],
)
@pytest.mark.usefixtures("script")
def test_an_error_in_a_template_is_one_sentence_that_says_what_to_do(template: str, cause: str) -> None:
    (found,) = problems(template)
    assert found.startswith("--command: ") and cause in found and "; " in found


@pytest.mark.parametrize("template", [
    "sh x {config} '&&' \\| '>'", "find . -name {config} \\;", "bash -c 'python t.py {config} \"$@\"' _ {overrides}",
    "bash -c 'cd x && python t.py {config} {overrides} | tee log'",
    "bash -c 'python t.py \"$0\" $1' {config} {overrides}",
    "sh -c \"echo '#' {config} {overrides}\"", "sh x --note='a; b' {config}",
])  # fmt: skip
@pytest.mark.usefixtures("script")
def test_what_a_program_may_need_is_accepted(template: str) -> None:
    assert problems(template) == []


def test_an_interpreter_that_the_template_does_not_use_is_an_error() -> None:
    (error,) = problems("sh {config}", python=True)
    assert error == "--python: the command has no {python}, so it would not be used; add it there"
    assert problems("{python} {config}", python=True) == []


def test_the_home_folder_is_meant_by_a_tilde(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from runner.cli.starting import Given, start

    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "x.sh").write_text("#!/bin/sh\n")
    (tmp_path / "x.sh").chmod(0o755)
    command, wrong = start(Given({"command": "~/x.sh {config}"}, {"command": "--command"}, tmp_path))
    assert (command.template, wrong) == ((f"{tmp_path}/x.sh", "{config}"), [])
