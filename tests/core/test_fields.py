"""The entries of a record, each checked for its type, and the values that are made of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runner.core import causes, gpu_labels
from runner.core.fields import Fields, Malformed, is_number, is_path, is_too_deep, parsed
from runner.core.job import Job, Plan
from runner.core.options import RunOptions
from runner.core.plan_kind import PlanKind
from runner.core.result import Result, adjusted_of
from runner.core.state import Finished, Outcome, Record, Running
from tests.engine.fakes import job

INF, NAN = float("inf"), float("nan")


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "is empty"), (b" \n", "is empty"), (b"{", "is not JSON"), (b"\xff", "is not JSON"),
        (b"[1]", "is a list, not an object"), (b"3", "is 3, not an object"), (b"null", "is null, not an object"),
        (b'"x"', 'is "x", not an object'), (b'"%s"' % (b"x" * 41), "is a text of 41 characters, not an object"),
        (b'"%s"' % (b"x" * 40), f'is "{"x" * 40}", not an object'), (b"true", "is true, not an object"),
        (b"9" * 30, "is a number that is too large, not an object"), (b"1e999", "is inf, not an object"),
        (b'{"a": ' + b"[" * 128 + b"]" * 128 + b"}", "is nested too deeply"),
        (b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "is nested too deeply"),
    ],
)  # fmt: skip
def test_what_is_not_a_record_says_so(content: bytes, why: str) -> None:
    with pytest.raises(Malformed) as refused:
        parsed(content)
    assert str(refused.value) == why


def test_a_record_may_have_128_levels_and_any_number_of_lists_beside_each_other() -> None:
    assert parsed(b'{"a": ' + b"[" * 127 + b"]" * 127 + b"}") == {"a": json.loads("[" * 127 + "]" * 127)}
    assert len(parsed(b'{"a": [' + b"[],{}," * 100 + b"1]}")["a"]) == 201
    assert not is_too_deep(nested(3), 3) and is_too_deep(nested(4), 3) and is_too_deep({"a": ({"b": {}},)}, 3)


def test_a_number_is_one_that_can_be_a_float() -> None:
    assert [is_number(one) for one in (0, -1, 2.5, INF, 2**63 - 1, 1 - 2**63)] == [True] * 6
    assert [is_number(one) for one in (True, None, "1", 2**63, -(2**63), [1])] == [False] * 6
    assert is_path("a") and is_path("\udce9") and not is_path("") and not is_path("a\0b") and not is_path("\ud800")


RECORD = {
    "text": "t", "flag": False, "whole": 3, "number": 2.5, "numbers": [0, 2.5], "path": "a/b", "words": ["a"],
    "mapping": {"a": 1}, "texts": {"a": "b"}, "null": None, "records": [{"x": 1}],
}  # fmt: skip


@pytest.mark.parametrize(
    ("read", "value"),
    [
        (lambda fields: fields.text("text"), "t"), (lambda fields: fields.flag("flag"), False),
        (lambda fields: fields.whole("whole", least=3), 3), (lambda fields: fields.number("number"), 2.5),
        (lambda fields: fields.number("whole"), 3), (lambda fields: fields.numbers("numbers"), (0, 2.5)),
        (lambda fields: fields.path("path"), "a/b"), (lambda fields: fields.words("words"), ("a",)),
        (lambda fields: fields.mapping("mapping"), {"a": 1}), (lambda fields: fields.texts("texts"), {"a": "b"}),
        (lambda fields: [one.whole("x") for one in fields.records("records")], [1]),
        (lambda fields: [fields.text("null", 7), fields.flag("none", 7), fields.whole("none", 7, least=9)], [7, 7, 7]),
        (lambda fields: [fields.number("null", 7), fields.path("none", ""), fields.words("none", 7)], [7, "", 7]),
        (lambda fields: [fields.mapping("null", 7), fields.texts("none", 7)], [7, 7]),
        (lambda fields: ["text" in fields, "flag" in fields, "null" in fields, "none" in fields], [1, 1, 0, 0]),
    ],
)  # fmt: skip
def test_an_entry_is_read_as_its_type_and_a_missing_one_has_its_default(
    read: Callable[[Fields], object], value: object
) -> None:
    assert read(Fields(RECORD)) == value


@pytest.mark.parametrize(
    ("read", "why"),
    [
        (lambda fields: fields.text("none"), "in.none is missing"),
        (lambda fields: fields.flag("null"), "in.null is missing"),
        (lambda fields: fields.text("whole"), "in.whole is 3, not a text"),
        (lambda fields: fields.flag("whole"), "in.whole is 3, not true or false"),
        (lambda fields: fields.whole("flag"), "in.flag is false, not a whole number"),
        (lambda fields: fields.whole("number"), "in.number is 2.5, not a whole number"),
        (lambda fields: fields.whole("whole", least=4), "in.whole is 3, not a whole number from 4 on"),
        (lambda fields: fields.number("text"), 'in.text is "t", not a number'),
        (lambda fields: fields.numbers("words"), "in.words is a list, not a list of numbers"),
        (lambda fields: fields.numbers("none"), "in.none is missing"),
        (lambda fields: fields.words("numbers"), "in.numbers is a list, not a list of texts"),
        (lambda fields: fields.words("text"), 'in.text is "t", not a list of texts'),
        (lambda fields: fields.mapping("words"), "in.words is a list, not an object"),
        (lambda fields: fields.texts("mapping"), "in.mapping is an object, not an object of texts"),
        (lambda fields: list(fields.records("words")), 'in.words[0] is "a", not an object'),
        (lambda fields: next(iter(fields.records("records"))).text("y"), "in.records[0].y is missing"),
    ],
)  # fmt: skip
def test_an_odd_entry_is_named_with_its_place(read: Callable[[Fields], object], why: str) -> None:
    with pytest.raises(Malformed) as refused:
        read(Fields(RECORD, "in."))
    assert str(refused.value) == why


@pytest.mark.parametrize("odd", [INF, -INF, NAN, 2**63, True, "1"])
def test_a_number_is_finite(odd: object) -> None:
    with pytest.raises(Malformed, match="not a number"):
        Fields({"x": odd}).number("x")
    with pytest.raises(Malformed, match="not a list of numbers"):
        Fields({"x": [odd]}).numbers("x")
    with pytest.raises(Malformed, match="not a list of numbers"):
        Fields({"x": [-1]}).numbers("x")


def test_a_path_is_one_that_a_file_can_have_and_a_record_is_an_object() -> None:
    with pytest.raises(Malformed, match='x is "", not the name of a file'):
        Fields({"x": ""}).path("x")
    with pytest.raises(Malformed, match=r"^jobs\[2\] is null, not an object"):
        Fields(None, "jobs[2].")
    with pytest.raises(Malformed, match=r"^it is a list, not an object"):
        Fields([])
    assert str(Fields({"x": 2**70}).odd("x", "small")) == "x is a number that is too large, not small"
    assert str(Fields({"x": 1.0}).odd("x", "small")) == "x is 1.0, not small"


# Results


@pytest.mark.parametrize(
    ("entries", "why"),
    [
        ({"status": 3}, "status is 3"), ({"error": []}, "error is a list"), ({"cause_sure": 1}, "cause_sure is 1"),
        ({"cause_evidence": []}, "cause_evidence is a list"), ({"command": "x"}, 'command is "x"'),
        ({"warnings": [1]}, "warnings is a list"), ({"return_code": "1"}, 'return_code is "1"'),
        ({"duration_seconds": "1"}, 'duration_seconds is "1"'), ({"attempt": 0}, "attempt is 0"),
        ({"final_metrics": []}, "final_metrics is a list"),
        ({"final_metrics": {"a": 2**63}}, "final_metrics: a is a number that is too large"),
        ({"best_metrics": {"a": {"iter": -(2**63)}}}, "best_metrics: a is a number that is too large"),
    ],
)  # fmt: skip
def test_a_result_whose_entries_are_of_other_types_is_refused(entries: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match="^" + why.replace("[", r"\[")):
        Result.from_json({"status": "failed", **entries})
    assert Result.from_json({"status": "failed", "final_metrics": {"a": 2**63 - 1}}).final_metrics["a"] > 0


def test_a_result_answers_for_each_of_its_entries() -> None:
    entries = {
        "status": "failed", "return_code": 3, "signal": "SIGKILL", "error": "e", "cause": "gpu_oom",
        "cause_evidence": {"line": "x"}, "gpu_jobs_at_once": 2, "moves": True, "gpus": [{"index": 2, "part": 0}],
        "gpu_quarantine": [{"reason": "r"}, 3], "failure_signature": "f", "adjusted": {"b": [8, 4], "c": [0, 1]},
        "command_signal": "SIGTERM", "start_time": "s", "end_time": "t", "duration_seconds": 2, "attempt": 3,
        "fingerprint": "p", "command": ["a"], "nonce": "n", "run_dir": "d", "final_metrics": {"m": 1.0},
        "best_metrics": {"m": {"value": 1.0}}, "warnings": ["w"],
    }  # fmt: skip
    found = Result(entries)
    assert (found.status, found.return_code, found.signal, found.error) == ("failed", 3, "SIGKILL", "e")
    assert (found.cause, found.cause_sure, found.cause_evidence) == ("gpu_oom", True, {"line": "x"})
    assert found.ran_out_beside_others and found.moves and found.gpus == ("2:0",)
    assert (found.quarantine, found.failure_signature, found.adjusted) == ([{"reason": "r"}], "f", {"b": (8, 4)})
    assert (found.command_signal, found.start_time, found.end_time, found.seconds) == ("SIGTERM", "s", "t", 2.0)
    assert (found.attempt, found.fingerprint, found.command, found.nonce) == (3, "p", ("a",), "n")
    assert (found.run_dir, found.final_metrics, found.best_metrics) == ("d", {"m": 1.0}, {"m": {"value": 1.0}})
    assert found.warnings == ("w",) and found != entries and repr(found) == f"Result({entries!r})"
    for other in ({"gpu_jobs_at_once": 1}, {"gpu_jobs_at_once": "2"}, {"cause": "host_oom"}):
        assert not found.updated(**other).ran_out_beside_others
    assert not found.updated(cause_sure=False).cause_sure and not Result({}).cause_sure and not Result({}).moves
    odd = Result(dict.fromkeys(("cause_evidence", "gpus", "gpu_quarantine", "adjusted", "best_metrics", "warnings"), 3))
    assert (odd.cause_evidence, odd.gpus, odd.quarantine, odd.adjusted, odd.best_metrics) == ({}, (), [], {}, {})
    assert odd.warnings == () and Result({"final_metrics": 3}).final_metrics == {} and Result({}).status == ""


def test_adjusted_settings_are_pairs_of_whole_numbers_above_0() -> None:
    odd = {"a": (8, 4), "b": [8], "c": [8, 0], "d": [True, 1], "e": [1.0, 2], "f": [8, 4, 2], "g": [1, 1]}
    assert adjusted_of(odd) == {"g": (1, 1)} and adjusted_of([]) == {}


def test_causes_and_gpus_are_shown_as_words() -> None:
    shown = [causes.shown(one) for one in (
        {}, {"cause": 3}, {"cause": "shm"}, {"cause": "shm", "cause_sure": True}, {"cause": "shm", "cause_sure": False},
        {"cause": "unknown", "cause_sure": False},
    )]  # fmt: skip
    assert shown == ["", "", "shm", "shm", "shm?", "unknown"]
    assert gpu_labels.labels([{"index": 2}, {"index": 2, "part": 0}, 3, {}]) == ("2", "2:0", "")
    assert gpu_labels.labels({}) == ()


def test_a_record_says_its_state_in_one_word() -> None:
    one = job("a")
    result = Result({"gpus": [{"index": 1}], "warnings": ["w"]})
    ended = Record(one, Finished(None, "", 1.0, Outcome("failed"), result))
    assert (ended.status, ended.gpus, ended.warnings) == ("failed", ("1",), ("w",))
    running = Record(one, Running("s", 1, gpus=("3",)))
    assert (running.status, running.gpus, running.warnings) == ("running", ("3",), ())
    assert (Record(one).status, Record(one).gpus, Record(one).attempt, Record(one).cached) == ("pending", (), 1, False)


# Jobs, plans and options


def test_a_fingerprint_is_that_of_the_work_wherever_its_folder_is(tmp_path: Path) -> None:
    def work(root: Path, *argv: str, **more: Any) -> Job:
        return Job("job_1", argv, root / "job_1", cwd=root, **more)

    one = work(tmp_path / "x", "t", f"{tmp_path}/x/job_1/out", "--o=job_1/out")
    other = work(tmp_path / "y", "t", f"{tmp_path}/y/job_1/out", "--o=job_1/out")
    # A path that is below the folder of the batch is recorded as version 0.1.0 had it: with its beginning twice.
    assert one.is_work_of(one.fingerprint) and not one.is_work_of(None) and not one.is_work_of("other")
    assert work(tmp_path / "x", "t", "--o=job_1/out").is_work_of(work(tmp_path / "y", "t", "--o=job_1/out").fingerprint)
    assert one.fingerprint != work(tmp_path / "x", "t", "u").fingerprint != other.fingerprint
    outside = [Job("job_1", ("t", f"{root}/job_1"), root / "job_1", cwd=tmp_path) for root in (Path("/x"), Path("/y"))]
    assert outside[0].fingerprint == outside[1].fingerprint
    absolute = work(tmp_path / "x", "t", f"{tmp_path}/x/c.py", source_argument=f"{tmp_path}/x/c.py")
    relative = work(tmp_path / "x", "t", "c.py", source_argument="c.py")
    assert absolute.fingerprint == relative.fingerprint
    assert replace(one, planned_as="p").fingerprint == "p" and one.with_fingerprint("q").fingerprint == "q"
    volatile = work(tmp_path, "t", config={"lr": 1, "now": 2}, volatile=("now",))
    assert volatile.fingerprint == replace(volatile, config={"lr": 1, "now": 3}).fingerprint
    assert volatile.fingerprint != replace(volatile, config={"lr": 2, "now": 2}).fingerprint
    hidden = work(tmp_path, "t", "--api_key=one", config={"hf_token": "x"})
    assert hidden.fingerprint == work(tmp_path, "t", "--api_key=two", config={"hf_token": "y"}).fingerprint
    shown = replace(hidden, not_secret=("api_key",))
    assert shown.fingerprint != hidden.fingerprint


def test_a_plan_has_each_name_and_each_folder_once(tmp_path: Path) -> None:
    def planned(*jobs: Job) -> Plan:
        return Plan("p", tmp_path, jobs, PlanKind("files"), "")

    with pytest.raises(ValueError, match=r"^two jobs have one name: a, b$"):
        planned(*(job(name, tmp_path) for name in "abcab"))
    with pytest.raises(ValueError, match="two jobs have one folder"):
        planned(job("a", tmp_path), job("A", tmp_path))
    plan = planned(job("a", tmp_path), job("b", tmp_path))
    assert plan.declaring(()) is plan
    declared = plan.declaring(["hf_token"]).declaring(["x", "hf_token"])
    assert declared.options.not_secret == ("hf_token", "x") == declared.jobs[1].not_secret


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        *(({name: -1}, f"options.{name} is -1, not a number from 0 on") for name in (
            "timeout", "stall_timeout", "retries", "retry_delay", "config_timeout", "gpus_per_job", "jobs_per_gpu",
            "gpu_wait", "gpu_free_mb", "gpu_settle", "gpu_backfill", "gpu_memory", "gpu_pack_window", "oom_retry",
            "max_same_failures",
        )),
        *(({name: 0}, f"options.{name} is 0, not a number from 1 on") for name in (
            "max_failures", "nan_patience", "max_workers", "max_log_mb",
        )),
        ({"grace": [1, 2]}, "options.grace is a list, not a list of three numbers"),
        ({"log_timestamps": "x"}, 'options.log_timestamps is "x", not one of all, combined, none'),
        ({"gpu_ids": "x"}, 'options.gpu_ids is "x", not one of uuid, index'),
        ({"oom_keys": ["a"]}, "options.oom_keys is a list, not a list of two words"),
        ({"on_nan": "x"}, 'options.on_nan is "x", not one of stop, continue'),
        ({"retry_on": ["x"]}, "options.retry_on is a list, not a list of failed, signal, timeout, stalled, error"),
        ({"retries": 1.5}, "options.retries is 1.5, not a whole number"),
        ({"fail_fast": 1}, "options.fail_fast is 1, not true or false"),
        ({"executor": 1}, "options.executor is 1, not a text"),
        ({"gpu_ignore_pid": ["x"]}, "options.gpu_ignore_pid is a list, not a list of numbers"),
        ({"observers": [1]}, "options.observers is a list, not a list of texts"),
    ],
)  # fmt: skip
def test_an_odd_option_is_one_sentence(entry: dict[str, Any], why: str) -> None:
    with pytest.raises(Malformed) as refused:
        RunOptions.from_json(entry)
    assert str(refused.value) == why


def test_limits_themselves_are_allowed_and_statuses_follow_from_causes() -> None:
    least = {"timeout": 0, "retries": 0, "max_failures": 1, "nan_patience": 1, "max_workers": 1, "max_log_mb": 1}
    assert RunOptions.from_json(least).timeout == 0
    assert RunOptions(retry_on=("signal", "error")).retry_statuses == {"killed", "error"}
    assert RunOptions().retry_statuses == {"failed", "killed", "timeout", "stalled"}
    assert RunOptions(max_failures=2).failure_limit == 2 and RunOptions().failure_limit is None
    assert RunOptions(fail_fast=True).updated({"max_failures": None}).failure_limit == 1
    assert RunOptions().updated({"observers": ["a"]}).observers == ("a",)
