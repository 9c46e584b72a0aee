"""Small functions of runner/core: texts, names, times, errors, how the program is called. No processes."""

from __future__ import annotations

import io
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from runner.core import clock, earlier_redaction, plain_values, printing, program, resume_words, text
from runner.core.canonical import canonical, home, typed, untagged
from runner.core.errors import MOST_DIFFERENCES, UserError, changed, did_you_mean, nearest, one_line, print_error
from runner.core.names import cut_middle, distinct_width, natural, shortened
from runner.core.stopwatch import Stopwatch


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (-1, "0 ms"), (0, "0 ms"), (0.85, "850 ms"), (0.9994, "999 ms"), (0.9995, "1.0 s"), (12.34, "12.3 s"),
        (59.94, "59.9 s"), (59.95, "1 min 00 s"), (245, "4 min 05 s"), (3599, "59 min 59 s"), (3599.6, "1 h 00 min"),
        (3600, "1 h 00 min"), (12000, "3 h 20 min"), (48 * 3600 - 60, "47 h 59 min"), (48 * 3600, "2 d 00 h"),
        (52 * 3600, "2 d 04 h"), (24 * 3600, "24 h 00 min"),
    ],
)  # fmt: skip
def test_a_duration_is_shown_in_the_unit_that_suits_it(seconds: float, shown: str) -> None:
    assert text.duration(seconds) == shown


def test_sizes_counts_and_lists_are_words() -> None:
    sizes = [text.size(one) for one in (0, 1023, 1024, 2048, 1024**2 - 1, 3 * 1024**2, 1024**3, 2.5 * 1024**4)]
    assert sizes == ["0 bytes", "1023 bytes", "1 KiB", "2 KiB", "1024 KiB", "3 MiB", "1.0 GiB", "2560.0 GiB"]
    assert [text.count(number, "job") for number in (0, 1, 2)] == ["0 jobs", "1 job", "2 jobs"]
    assert [text.listed("abcd"[:n], 3) for n in (0, 1, 3, 4)] == ["", "a", "a, b, c", "a, b, c and 1 more"]


def test_a_line_is_made_plain_and_cut() -> None:
    assert text.plain("a\x1b[31mb\x1b[0m\x1b]0;title\x07c\td\u202ee\udce9") == "abc d e?"
    assert [text.plain("abcdef", width) for width in (0, 1, 5, 6, 7, None)] == [
        "…", "…", "abcd…", "abcdef", "abcdef", "abcdef"
    ]  # fmt: skip
    assert (
        text.plain_lines("a\x1b[1m\nb\tc") == "a\nb c"
        and text.ascii_signs("✓ ✗ ★ … ± ━╸─– → é") == "+ x * ~ +- ##-- -> é"
    )
    assert [text.width_of(one) for one in ("abc", "中a", "e\u0301", "é", "Ａ")] == [3, 3, 1, 1, 2]


def test_a_command_can_be_pasted_whatever_is_in_it() -> None:
    assert text.command(["a b", "c", "it's", ""]) == """'a b' c 'it'"'"'s' ''"""
    assert text.command(["a\nb", "\\'\x1b", "\x7f\x80\u2028"]) == r"$'a\x0ab' $'\\\'\x1b' $'\x7f\u0080\u2028'"


def test_a_path_is_shown_relative_to_a_folder_above_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert text.shown(tmp_path / "a") == "a" and text.shown("/x") == "/x"
    assert text.shown("/x/y", Path("/x")) == "y" and text.shown(tmp_path / "a", Path("/x")) == str(tmp_path / "a")


def test_seconds_are_summed_over_units_in_their_order() -> None:
    assert text.seconds("2d3h4m5s") == 2 * 86400 + 3 * 3600 + 4 * 60 + 5 and text.seconds("nan") != text.seconds("inf")


# Names


def test_numbers_in_names_are_compared_as_numbers_where_they_are_such() -> None:
    assert natural("a1.5_b")[0] == [(1, "a"), (0, 1.5), (1, "_b")] and natural("x1e-3")[0] == [(1, "x"), (0, 1e-3)]
    assert natural("v1.5")[0] == [(1, "v"), (0, 1.0), (1, "."), (0, 5.0)] and natural("1.2.3")[0][0] == (0, 1.0)
    assert natural(Path("a"))[1] == "a" and natural("a01") != natural("a1")


@pytest.mark.parametrize(
    ("names", "width", "short"),
    [
        (["abc_1", "abc_2"], 4, ["…1", "…2"]), (["ab_1", "ab_2"], 3, ["a…1", "a…2"]),
        (["1_abc", "2_abc"], 4, ["1…", "2…"]), (["1_ab", "2_ab"], 3, ["1…b", "2…b"]),
        (["x_abc_1", "x_abc_12"], 4, ["…1", "…12"]), (["aaaa1", "aaaa2"], 3, ["a…1", "a…2"]),
        (["1aaaa", "1aaab"], 3, ["1…a", "1…b"]), (["abcdefgh1", "abcdefgh2"], 1, ["…", "…"]),
        ([], 3, []), (["a/b/one", "a/b/two"], 4, ["…one", "…two"]), (["abcd"], 4, ["abcd"]),
        (["12345aaaaa", "123x5aaaaa"], 4, ["12…a", "12…a"]),
    ],
)  # fmt: skip
def test_names_are_shortened_so_that_they_differ(names: list[str], width: int, short: list[str]) -> None:
    assert shortened(names, width) == short


def test_a_text_is_cut_in_its_middle() -> None:
    assert [cut_middle("abcdefgh", width) for width in range(9)] == [
        "", "…", "a…", "a…h", "ab…h", "ab…gh", "abc…gh", "abc…fgh", "abcdefgh"
    ]  # fmt: skip
    assert cut_middle("中中中中", 5) == "中…中" and cut_middle("中中中中", 4) == "中…"
    assert distinct_width(["run_lr1_x", "run_lr22_x"]) == len("…lr22_x") and distinct_width([]) == 0


# Errors


def test_the_nearest_word_is_offered_and_no_far_one() -> None:
    words = ["batch_size", "learning_rate", "max_iters"]
    assert nearest("batchsize", words) == "batch_size" and nearest("BATCH-SIZE", words) == "batch_size"
    assert nearest("batch_siez", words) == "batch_size" and nearest("dropout", words) is None
    assert nearest("a-b", ["a_b", "ab"]) == "a_b"
    assert did_you_mean("lerning_rate", words) == "did you mean 'learning_rate'?" and did_you_mean("x", words) is None
    assert did_you_mean("max_iter", words, dashes="--") == "did you mean --max_iters?"


def test_a_message_of_another_program_is_one_line_of_at_most_300_signs() -> None:
    assert one_line("a\n  b. ") == "a b" and one_line("x" * 300) == "x" * 300
    assert one_line("x" * 301) == "x" * 297 + "..." and one_line(ValueError("no...")) == "no"


def test_errors_are_printed_a_line_each_and_counted(capsys: pytest.CaptureFixture[str]) -> None:
    assert print_error(UserError("a\x1b[1m\nb", "c"), "run") == 2
    assert capsys.readouterr().err == "run: a b\nrun: c\nrun: 2 errors; nothing was started\n"
    print_error(UserError("a"), "run")
    print_error(UserError("a", "b", counted=False), "run")
    assert capsys.readouterr().err == "run: a\nrun: a\nrun: b\n" and str(UserError("a", "b")) == "a\nb"


def test_of_many_differences_the_first_are_told() -> None:
    many = [f"d{number}" for number in range(MOST_DIFFERENCES + 2)]
    assert changed(many, "fix").problems == (*many[:20], "and 2 more differences", "fix")
    assert changed(many[:20], "fix").problems == (*many[:20], "fix") and not changed(["a"], "b").counted


# Times


def test_times_are_iso_8601_with_milliseconds() -> None:
    assert clock.iso(1000.25) == "1970-01-01T00:16:40.250+00:00" and clock.iso(0.9999).endswith("00.999+00:00")
    assert abs(clock.seconds() - time.time()) < 60 and clock.now()[:4] == clock.iso(time.time())[:4]
    stamp = clock.Stamp()
    assert stamp(1000.25)[:19] == time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(1000)).encode()
    assert [stamp(1000.5)[19:], stamp(1001.0)[16:]] == [b".500 ", b":41.000 "] and len(stamp()) == clock.WIDTH == 24
    assert stamp(0.0)[20:] == b"000 " and stamp(1000.25)[14:19] == b"16:40"


def test_a_stopwatch_keeps_the_reading_of_its_first_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [5.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    watch = Stopwatch()
    now[0] = 7.25049
    first = watch.read()
    assert first["duration_seconds"] == 2.25 and first["start_time"] == watch.start <= first["end_time"]
    now[0] = 8.0
    watch.stop()
    now[0] = 9.0
    watch.stop()
    assert watch.read()["duration_seconds"] == 3.0
    watch.read().clear()
    assert watch.read()["duration_seconds"] == 3.0


# The terminal


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_lines_for_people_cannot_control_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    printing.say("a\nb\x1b[31m")
    printing.say()
    printing.say_all("c\x07\nd")
    printing.say_json('{"a": "\x1b\u202e"}\n')
    printing.write_data("x\x1b\n")
    assert capsys.readouterr().out == 'a b\n\nc \nd\n{"a": "\\u001b\\u202e"}\n\nx\x1b\n'
    printing.say("e", file=sys.stderr, end="!")
    printing.rewrite_line("f\n", sys.stderr)
    assert capsys.readouterr().err == "e!\r\x1b[Kf "


def test_a_passing_line_is_shown_at_once() -> None:
    flushed: list[str] = []

    class Stream(io.StringIO):
        def flush(self) -> None:
            flushed.append(self.getvalue())

    printing.rewrite_line("a", Stream())
    assert flushed == ["\r\x1b[Ka"]
    flushed.clear()
    printing.say("b", file=Stream())
    printing.say_all("c", file=Stream())
    assert flushed == []
    printing.say("d", file=Stream(), flush=True)
    printing.say_all("e", file=Stream(), flush=True)
    assert flushed == ["d\n", "e\n"]


def test_data_on_a_terminal_are_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    printing.write_data("a\x1b[2J,b\nc\n")
    assert terminal.getvalue() == "a,b\nc\n"
    printing.say_all("d", flush=True)
    assert terminal.getvalue().endswith("d\n")


def test_a_growing_log_keeps_its_colors_and_nothing_else() -> None:
    terminal, file = Terminal(), io.StringIO()
    log = printing.LogPrinter(terminal)
    for piece in ("a\x1b[3", "1mb\x1b]0;ti", "tle\x07c\x1b[2J\td\r\x08", "e\x1b"):
        log.write(piece)
    log.end()
    log.write("f\n")
    log.flush()
    assert terminal.getvalue() == "a\x1b[31mbc\td\r\x08ef\n"
    log.write("\x1b]" + "x" * printing.HELD_BACK)
    assert len(terminal.getvalue()) > printing.HELD_BACK
    raw = printing.LogPrinter(file)
    raw.write("a\x1b[2J")
    assert file.getvalue() == "a\x1b[2J"


def test_a_stream_that_nobody_reads_leads_to_nowhere(tmp_path: Path) -> None:
    with (tmp_path / "file").open("w") as file:
        printing.silence(file)
        file.write("lost")
    printing.silence(io.StringIO())
    assert (tmp_path / "file").read_text() == ""


# How the program is called


@pytest.mark.parametrize(
    ("started", "installed", "name", "words"),
    [
        ("/x/y/runner/__main__.py", False, "python -m runner", ["PYTHON", "-m", "runner"]),
        ("/bin/overnight", True, "overnight", ["overnight"]),
        ("/other/overnight", True, "overnight", ["/other/overnight"]),
        ("overnight", False, "overnight", ["overnight"]),
        ("train.py", False, "run_experiments.py", ["PYTHON", "SCRIPT"]),
    ],
)
def test_the_program_is_called_as_it_was_started(
    monkeypatch: pytest.MonkeyPatch, started: str, installed: bool, name: str, words: list[str]
) -> None:
    found = {"overnight": "/bin/overnight" if installed else None, "py": sys.executable}
    monkeypatch.setattr(program, "_found", found.get)
    monkeypatch.setattr(sys, "argv", [started, "last"])
    monkeypatch.setattr(sys, "orig_argv", ["py", "last"])
    monkeypatch.chdir(program.PROJECT)
    known = {"PYTHON": "py", "SCRIPT": "run_experiments.py"}
    assert program.name() == name and list(program.words()) == [known.get(word, word) for word in words]
    resume = "--resume" if words[-1] == "SCRIPT" else "resume"
    assert program.resume_command(program.PROJECT / "-x y").endswith(
        f"{words[-1] if words[-1] != 'SCRIPT' else name} {resume} './-x y'"
    )
    assert program.offered("a b").endswith(" 'a b'")
    monkeypatch.setattr(sys, "orig_argv", ["gone"])
    assert program.script_words(program.PROJECT / "t.py") == (text.shown(sys.executable), "t.py")


def test_without_a_checkout_the_installed_command_is_offered(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "argv", ["train.py"])
    monkeypatch.setattr(program, "PROJECT", tmp_path)
    for found, words in (("/bin/overnight", ("overnight",)), (None, (text.shown(sys.executable), "-m", "runner"))):
        monkeypatch.setattr(program, "_found", lambda word, found=found: found)
        assert program.words() == words
    assert program.pasted(["a"], Path("/x y")) == "cd '/x y' && a"
    assert program.pasted(["a"], Path.cwd()) == program.pasted(["a"]) == "a"


# Values


def test_words_that_resume_are_checked_and_filled_in() -> None:
    hint = "there are {checkpoint} and {out_dir}; a brace itself is written twice"
    assert resume_words.errors("--a {x} {x} {checkpoint}") == [f"--resume_args: {{x}} is not a placeholder; {hint}"]
    assert resume_words.errors("'a") == ["--resume_args: no closing quotation; check its quotes"]
    assert resume_words.split("--a 'b c' {{x}}") == ("--a", "b c", "{{x}}") and resume_words.split("{x}") == ()
    words = resume_words.filled(["{checkpoint}", "{{out_dir}}={out_dir}", "{x}"], checkpoint="c", out_dir="o")
    assert words == ["c", "{out_dir}=o", "{x}"] and resume_words.errors("{{x}} {}")[0].startswith("--resume_args: {} ")


def test_the_typed_form_of_a_value_is_shown_plainly() -> None:
    value = {"t": (1, Path("a")), "f": float("inf"), 3: "x", "d": {"$x": 1}}
    assert plain_values.plain(typed(value)) == {"3": "x", "d": {"$x": 1}, "f": float("inf"), "t": [1, "a"]}
    array = {"dtype": "'<f4'", "shape": [2, 3], "sha256": "0123456789"}
    assert plain_values.plain([{"$array": array}, {"$tensor": array}]) == [
        "array <f4[2, 3] 01234567",
        "tensor <f4[2, 3] 01234567",
    ]
    assert plain_values.plain({"$enum": ["m.E", "A"]}) == "A" and plain_values.plain({"$tuple": 3}) == {"$tuple": 3}
    assert plain_values.plain({"$dataclass": ["m.D", {"a": {"$tuple": []}}]}) == {"a": []}


def test_what_the_main_program_defines_is_called_as_when_it_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    class Main:
        __spec__ = None
        __file__ = "/x/train.py"

    class Thing:
        __module__ = "__main__"
        __qualname__ = "Thing"

    monkeypatch.setitem(sys.modules, "__main__", Main)  # type: ignore[arg-type]
    assert home(Thing) == "train.Thing" and home(Path).startswith("pathlib.")
    Main.__file__ = None  # type: ignore[assignment]
    assert home(Thing) == "__main__.Thing"
    Main.__spec__ = sys.__spec__
    assert home(Thing) == "sys.Thing"


def test_tags_that_are_odd_stay_as_they_are() -> None:
    odd: list[Any] = [{"$float": "1"}, {"$float": 3}, {"$dict": 3}, {"$dict": [["a"]]}, {"$dict": [[1, 2]]}]
    assert [untagged(one) for one in odd] == odd and untagged({"$float": "nan", "a": 1}) == {"$float": "nan", "a": 1}
    assert untagged([{"$dict": [["$float", {"$float": "inf"}]]}]) == [{"$float": float("inf")}]
    assert canonical({"b": 1.0, "a": [True, "é"]}) == '{"a":[true,"é"],"b":1.0}'


def test_what_version_0_1_0_took_for_secrets() -> None:
    values = {"api_key": "x", "hfToken": "x", "keys": "x", "key": "", "n": {"password": "x", "l": [{"secret": "y"}, 1]}}
    assert earlier_redaction.mapping(values) == {
        "api_key": "***", "hfToken": "***", "keys": "x", "key": "",
        "n": {"password": "***", "l": [{"secret": "***"}, 1]},
    }  # fmt: skip
    words = [
        "--token",
        "S",
        "--token",
        "--x",
        "--api_key=S",
        "TOKEN=S",
        "--lr=1",
        "--a=b",
        "c",
        "sh -c 'token S --key S key=S'",
    ]
    assert earlier_redaction.argv(words) == [
        "--token", "***", "--token", "--x", "--api_key=***", "TOKEN=***", "--lr=1", "--a=b", "c",
        "sh -c 'token S --key *** key=***",
    ]  # fmt: skip
