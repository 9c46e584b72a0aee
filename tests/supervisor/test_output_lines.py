"""What the output of a failed program says: what a line is, where a traceback ends, which cause it shows. Pure."""

from __future__ import annotations

from typing import Any

import pytest

from runner.supervisor import (
    cause_rules,
    classification,
    error_cause,
    line_kinds,
    signature,
    tracebacks,
)
from runner.supervisor.cause_rules import Rule, Rules
from runner.supervisor.classification import Classified, Output
from runner.supervisor.error_cause import Cause

HEAD = ["Traceback (most recent call last):", '  File "t.py", line 1, in f', "    g()"]


# Lines


@pytest.mark.parametrize(
    ("line", "kinds"),
    [
        ("", "footer rule"), ("=====", "footer rule"), ("iter 100: loss 2.5", "progress"), ("Epoch 3/10", "progress"),
        ("val error: 0.3", "progress"), ("50%|#####     | 5/10", "bar"), ("ValueError: x", "error"),
        ("step 5: FATAL: x", "error"), ("INFO: started", "log"), ("UserWarning: x", "log"),
        ("a.py:3: UserWarning: x", "log"), ("    warnings.warn(", "log"), ("wandb: done", "footer"),
        ("[0]:", "footer"), ("  time      : 2026", "footer"),
        ("terminate called without an active exception", "error after"),
        ('  File "t.py", line 3', "frame"), ("usage: t.py [-h]", "usage"), ("file not found", "may"),
        ("no errors", "progress"), ("Killed", "error"), ("hello", ""), ("╭─ Error ─╮", "footer rule"),
        ("WARNING: out of memory", "log"), ("[rank0]: x", ""), ("I1126 10:00:00 x", "log"),
    ],
)  # fmt: skip
def test_a_line_is_of_these_kinds(line: str, kinds: str) -> None:
    of = {
        "footer": line_kinds.is_footer, "rule": line_kinds.is_rule, "progress": line_kinds.is_progress,
        "bar": line_kinds.is_bar, "error": line_kinds.says_error, "may": line_kinds.may_say_error,
        "log": line_kinds.is_log, "after": line_kinds.is_aftermath, "frame": line_kinds.is_frame,
        "usage": line_kinds.is_usage,
    }  # fmt: skip
    assert " ".join(name for name, is_kind in of.items() if is_kind(line)) == " ".join(
        name for name in of if name in kinds.split()
    )


def test_lines_are_cleaned_of_colours_prefixes_and_boxes() -> None:
    lines = ["\x1b[31mred\x1b[0m ", "[rank1]: x", "(train pid=7) y", "[1,0]<stderr>:z", "  [rank0]: w", "[x]: kept"]
    assert line_kinds.clean(lines) == ["red", "x", "y", "z", "w", "[x]: kept"]
    assert [line_kinds.process(line) for line in lines[1:]] == [
        "[rank1]:",
        "(train pid=7)",
        "[1,0]<stderr>:",
        "[rank0]:",
        "",
    ]
    assert line_kinds.without_prefix("[rank1]: [rank2]: x") == "[rank2]: x"
    box = [
        "╭─ Error ───╮",
        "│ bad value │",
        "╰───────────╯",
        "╭─ Notes ───╮",
        "│ kept box  │",
        "┏━ Usage Error ━┓",
        "┃ why ┃",
    ]
    assert [line_kinds.clean(box)[at] for at in (1, 4, 6)] == ["bad value", "│ kept box  │", "why"]
    assert line_kinds.clean([" 50%|###   | 5/10" + HEAD[0]]) == [HEAD[0]]
    assert line_kinds.clean(["text " + HEAD[0], "x" * 2000]) == ["text " + HEAD[0], "x" * 1000]
    assert line_kinds.clean([" 50%|###   | 5/10" + HEAD[0] + " x"])[0].endswith(" x")


def test_the_usage_of_a_program_is_left_out() -> None:
    lines = ["a", "usage: t.py [-h]", "            [--x]", "\t[--y]", "t.py: error: no", "  b"]
    assert line_kinds.without_usage(lines) == ["a", "", "", "", "t.py: error: no", "  b"]


# Tracebacks


@pytest.mark.parametrize(
    ("after", "message", "end"),
    [
        (["ValueError: x"], "ValueError: x", 4), (["ValueError: x", "", "y"], "ValueError: x", 4),
        (["ValueError: x", "  more", "", "", "y"], "ValueError: x more", 5),
        (["RuntimeError: x", "Compile with `TORCH_USE_CUDA_DSA` on", "y"],
        "RuntimeError: x Compile with `TORCH_USE_CUDA_DSA` on", 5),
        (["E: 2 validation errors for C", "a", "b"], "E: 2 validation errors for C a b", 6),
        (["E: errors:", "a", "iter 5: loss 1.0", "b"], "E: errors: a", 5),
        (["E: x", "  50%|###   | 5/10"], "E: x", 4), ([], "", 3),
        (["E: x", "  a", "Traceback (most recent call last):"], "E: x a", 5),
        (["E: errors:", *"ab", "During handling of the above exception, x"], "E: errors: a b", 6),
        (["E: errors:", *map(str, range(60))], "E: errors: " + " ".join(map(str, range(40))), 44),
        (["E: errors:", "a", "", "INFO: x"], "E: errors: a", 5),
    ],
)  # fmt: skip
def test_a_message_ends_where_other_output_begins(after: list[str], message: str, end: int) -> None:
    found = tracebacks.found(["x", *HEAD, *after])
    assert (found[0].message, found[0].begin, found[0].end) == (message, 1, end + 1)
    assert found[0].said == min(4, len(after) + 3) and not found[0].of_launcher


def test_chains_groups_launchers_and_harmless_ones_are_told_apart() -> None:
    chain = [
        *HEAD,
        "KeyError: 1",
        "",
        "During handling of the above exception, another exception occurred:",
        "",
        *HEAD,
        "E: 2",
    ]
    (one,) = tracebacks.found(chain)
    assert (one.begin, one.said, one.end, one.message) == (0, 10, 11, "E: 2")
    two = tracebacks.found([*HEAD, "A: 1", *HEAD, "torch.ChildFailedError: x"])
    assert [it.begin for it in two] == [0, 4] and [it.of_launcher for it in two] == [False, True]
    assert (
        tracebacks.the_cause(two) is two[0]
        and tracebacks.the_cause(two[1:]) is two[1]
        and tracebacks.the_cause([]) is None
    )
    harmless = tracebacks.found(["Exception ignored in: <f>", *HEAD, "E: 1", "x", "y", *HEAD, "E: 2"])
    assert [it.harmless for it in harmless] == [True, False] and tracebacks.the_cause(harmless) is harmless[1]
    assert tracebacks.the_cause(harmless[:1]) is None
    later = tracebacks.found(["Exception ignored in: <f>", "1", "2", *HEAD, "E: 1"])
    assert not later[0].harmless and tracebacks.found(["--- Logging error ---", "1", *HEAD, "E"])[0].harmless
    group = [
        "  + Exception Group Traceback (most recent call last):", "  |   File",
        "  | ExceptionGroup: many (2 sub-exceptions)",
        "  +-+---------------- 1 ----------------", "    | ValueError: a", "    +---------------- 2 ----------------",
        "    | my.KeyError: b", "after",
    ]  # fmt: skip
    (found,) = tracebacks.found(group)
    assert found.message == "ExceptionGroup: many (2 sub-exceptions): ValueError: a; my.KeyError: b"
    assert (found.begin, found.said, found.end) == (0, 2, 7)


# What ended a program


def test_the_place_of_a_cause_is_that_of_its_line() -> None:
    found = error_cause.find(["a", *HEAD, "E: x", ""], [])
    assert (found.text, found.kind, found.stream, found.place) == ("E: x", "traceback", 0, 4)
    assert found.traceback == "\n".join([*HEAD, "E: x"]) + "\n" and found.whole == "E: x"
    found = error_cause.find(["a"], ["b", "CUDA error: bad", "c"])
    assert (found.text, found.kind, found.stream, found.place) == ("CUDA error: bad", "error", 1, 1)
    found = error_cause.find(["CUDA error: bad", "iter 5: loss 2.0"], [])
    assert (found.kind, found.place) == ("later error", 0)
    found = error_cause.find([], ["a", "cannot open x", *"bcdefg"])
    assert (found.text, found.kind, found.stream, found.place) == ("cannot open x", "words", 1, 1)
    found = error_cause.find(["cannot open x", *"bcde"], [])
    assert (found.text, found.place) == ("cannot open x | b | c | d | e", 0)
    found = error_cause.find([*"abcdefg"], [])
    assert (found.text, found.place) == ("c | d | e | f | g", 6) and error_cause.find([], []).place == -1
    perhaps = error_cause.find([*HEAD, "E: x", "goodbye"], [])
    assert (perhaps.kind, perhaps.text, perhaps.whole, perhaps.place) == ("perhaps", "E: x | goodbye", "E: x", 3)
    assert error_cause.find([*HEAD, "E: x"], [], went_on=True).text == ""
    assert error_cause.find([*HEAD, f"E: {'x' * 900}"], []).text == "E: " + "x" * 297


def test_an_error_line_takes_what_belongs_to_it() -> None:
    lines = ["terminate called after throwing an instance of 'std::bad'", "  what():  no room"]
    assert error_cause.find(lines, []).text == "std::bad: no room"
    assert error_cause.find(["  what():  no room"], []).text == "no room"
    assert error_cause.find(["Error in f(x) :", "  bad x", "more"], []).text == "Error in f(x) : bad x"
    assert error_cause.find(["Error:", "errors:", "error:", "error:", "x"], []).text == "error: x"
    assert error_cause.find(["CUDA error: a", "terminate called recursively"], []).text == "CUDA error: a"


def test_only_so_many_lines_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(error_cause, "MOST_LINES", 3)
    found = error_cause.find(["CUDA error: old", "a", "CUDA error: b", "c"], ["x"])
    assert (found.text, found.place) == ("CUDA error: b", 2)
    assert error_cause.find(["CUDA error: old", "a", "b", "c"], []).kind == "words"
    monkeypatch.setattr(error_cause, "LOOKED_AT", 2)
    assert error_cause.find(["x", "a", "b"], []).text == "a | b"
    assert error_cause.last_output(["x", "a", "b"], []) == "a | b" and error_cause.last_output([], ["=", "c"]) == "c"
    assert error_cause.last_output([*HEAD, "E: x"], ["y"]) in ("y", "g() | E: x", "    g() | E: x", "E: x")


def test_of_several_processes_the_first_that_failed_is_the_cause() -> None:
    ranks = [f"[rank{rank}]: {line}" for line in (*HEAD, "ValueError: x") for rank in (1, 0)]
    found = error_cause.find(ranks, [])
    assert (found.text, found.place) == ("ValueError: x", 6) and found.traceback.count("Traceback") == 1
    places = [place for place, _ in error_cause.tracebacks_in(ranks)]
    assert places == [6, 7]
    table = [*HEAD, "torch.ChildFailedError: x", "=====", "  traceback : Signal 9 (SIGKILL) received by PID 7"]
    assert error_cause.find(table, []).text == "Signal 9 (SIGKILL) received by PID 7"
    assert error_cause.find(table, []).place == 5


# Causes


def classified(rules: list[Rule], text: str, *, kind: str = "traceback", **more: Any) -> Classified:
    lines = text.split("\n")
    given = {"exit": 1, "seconds": 10.0, **more}
    consequences = given.pop("consequences", ())
    ended = Cause(lines[-1], "", kind, 0, len(lines) - 1)
    return classification.classify(Rules(tuple(rules), consequences, {}), Output((lines, []), ended, **given))


def test_a_rule_fits_by_its_pattern_its_exit_code_and_its_time() -> None:
    rule = Rule("disk", "full", unless="not full")
    assert classified([rule], "a\nis full") == Classified("disk", True, "is full", 0, 1)
    assert classified([rule], "a\nis not full") == Classified("code", True, "is not full", 0, 1)
    assert classified([rule], "x", kind="words") == Classified("unknown", False, "x", 0, 0)
    assert classified([rule], "x", kind="perhaps") == Classified("code", False, "x", 0, 0)
    assert [classified([rule], "full", kind=kind).sure for kind in ("error", "words", "perhaps", "reported")] == [
        True, False, False, True
    ]  # fmt: skip
    assert classified([Rule("shm", "x", exit=7)], "x", exit=1).cause == "code"
    assert classified([Rule("shm", "x", exit=7)], "x", exit=7, kind="words") == Classified("shm", True, "x", 0, 0)
    within = [classified([Rule("shm", "x", within=10)], "x", seconds=seconds).sure for seconds in (9.0, 10.0, 10.1)]
    assert within == [True, True, False] and not classified([Rule("shm", "x", sure=False)], "x").sure


def test_a_rule_for_the_output_looks_in_the_last_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    rule = Rule("host_oom", "memory", where="output", end="Killed", unless="GPU")
    assert classified([rule], "memory 1\nmemory 2\nx\nKilled") == Classified("host_oom", True, "memory 2", 0, 1)
    assert classified([rule], "memory\nGPU memory\nKilled").line == "memory"
    assert classified([rule], "memory\nended").cause == "code" and classified([rule], "Killed").cause == "code"
    for room, cause in ((13, "code"), (14, "host_oom")):
        monkeypatch.setattr(classification, "LOOKED_AT", room)
        assert classified([rule], "memory\nKilled").cause == cause
    ended = Cause("Killed", "", "error", 0, 0)
    output = Output((["Killed"], ["a memory"]), ended, 1, 1.0)
    assert classification.classify(Rules((rule,), (), {}), output) == Classified("host_oom", True, "a memory", 1, 0)


def test_a_cause_without_a_line_has_no_place() -> None:
    assert Classified("disk", True) == Classified("disk", True, "", 0, -1) and Cause("").place == -1


def test_the_line_of_a_message_that_shows_its_cause_is_the_evidence() -> None:
    lines = ["E: first", "second", "full disk", "x"]
    output = Output((lines, []), Cause("E: first", "", "traceback", 0, 0, "E: first second full disk"), 1, 1.0)
    rules = Rules((Rule("disk", "full"),), (), {})
    assert classification.classify(rules, output) == Classified("disk", True, "full disk", 0, 2)
    spread = Rules((Rule("disk", "second full"),), (), {})
    assert classification.classify(spread, output) == Classified("disk", True, "E: first", 0, 0)
    nowhere = output._replace(ended=Cause("full", "", "reported"))
    assert classification.classify(rules, nowhere) == Classified("disk", True, "full", 0, -1)


def test_an_end_that_another_process_caused_has_the_cause_of_that_one() -> None:
    other = [f"[rank1]: {line}" for line in (*HEAD, "ValueError: x")]
    text = "\n".join([*other, *HEAD, "NCCL aborted"])
    found = classified([], text, consequences=("NCCL",))
    assert found == Classified("code", True, "ValueError: x", 0, 3)
    alone = classified([], "\n".join([*HEAD, "NCCL aborted"]), consequences=("NCCL",))
    assert alone == Classified("unknown", False, "NCCL aborted", 0, 3)
    plain = classified([], "\n".join([*HEAD, "ValueError: x", *HEAD, "NCCL aborted"]), consequences=("NCCL",))
    assert plain == Classified("code", False, "ValueError: x", 0, 3)


OOM = Rule("gpu_oom", "out of memory")
NEW = (
    "out of memory. total capacity of {total} GiB of which x. Process 7 has {other}. "
    "Including y, this process has 2 GiB"
)


@pytest.mark.parametrize(
    ("text", "cause", "sure"),
    [
        (NEW.format(total="80.00", other="4.10 GiB"), "gpu_oom_foreign", True),
        (NEW.format(total="80.00", other="4.00 GiB"), "gpu_oom", True),
        (NEW.format(total="1.00", other="60.00 MiB"), "gpu_oom_foreign", True),
        (NEW.format(total="1.00", other="50.00 MiB"), "gpu_oom", True),
        (NEW.format(total="1.00", other="60000.00 KiB"), "gpu_oom_foreign", True),
        (NEW.format(total="80.00", other="9.0 GiB").replace("this process has", "we have"), "gpu_oom", True),
        ("pid: 7\n" + NEW.format(total="80.00", other="9.0 GiB"), "gpu_oom_foreign", False),
        ("pid: 17\n" + NEW.format(total="80.00", other="9.0 GiB"), "gpu_oom_foreign", True),
        ("[rank0]: x\n" + NEW.format(total="80.00", other="9.0 GiB"), "gpu_oom_foreign", False),
        ("out of memory (24.00 GiB total capacity; 10.00 GiB free; 12.00 GiB reserved)", "gpu_oom_foreign", False),
        ("out of memory (24.00 GiB total capacity; 10.60 GiB free; 12.00 GiB reserved)", "gpu_oom", True),
        ("out of memory (40.00 GiB total capacity; 10.00 GiB free; 28.10 GiB reserved)", "gpu_oom", True),
        ("out of memory (24.00 GiB total capacity; 1.00 GiB free)", "gpu_oom", True),
        ("out of memory", "gpu_oom", True),
    ],
)  # fmt: skip
def test_memory_of_a_gpu_that_others_had_is_their_doing(text: str, cause: str, sure: bool) -> None:
    found = classified([OOM], text)
    assert (found.cause, found.sure) == (cause, sure)


def test_advice_is_that_of_the_rule_and_else_that_of_the_cause() -> None:
    rules = Rules((Rule("disk", "quota", advice="ask"), Rule("disk", "x")), (), {"disk": "clean up"})
    assert [rules.advice_on("disk", line) for line in ("over quota", "x")] == ["ask", "clean up"]
    assert rules.advice_on("shm", "quota") == "" and cause_rules.for_job("/gone") == cause_rules.load()


# Signatures


def test_failures_are_alike_without_what_is_one_jobs_own() -> None:
    of = signature.normalized
    assert of("x 12 y -3.5e-4 0xff z", ()) == "x N y N … z" and of("v2 a_1 1_000", ()) == "v2 a_1 N"
    assert of("in /a/b, ~/c: ./d ../e f/g", ()) == "in /…, /…: /… /… f/g"
    assert of("run_7 and run_71 x.run_7", ["run_7", "", "run"]) == "… and run_71 x.run_7"
    assert len(of("x " * 300, ())) == 200 and of("  ", ()) == ""
    frames = (
        '  File "/p/t.py", line 3, in f\n  File "/x/site-packages/y.py", line 4, in g\n'
        '  File "<string>", line 1, in h\n'
    )
    assert signature.frame(frames) == "t.py:3 in f" and signature.frame("") == ""
    assert signature.of("E: 5", frames, ()) == "E: N (t.py:3 in f)" and signature.of("E", "", ()) == "E"
    assert signature.of("", frames, ()) == ""
