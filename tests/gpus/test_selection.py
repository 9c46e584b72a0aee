"""`--gpus` and CUDA_VISIBLE_DEVICES -> the GPUs of a batch."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.core.errors import UserError
from runner.gpus import devices
from runner.gpus.selection import chosen
from tests.gpus.machine import gpu, instance, uuid


def snapshot(*gpus: dict[str, Any]) -> devices.Snapshot:
    return devices.read(json.dumps({"driver": "1", "gpus": gpus or [gpu(index) for index in range(4)]}), 0.0)


def caller(visible: str | None) -> dict[str, str]:
    return {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}


@pytest.mark.parametrize(
    ("words", "visible", "expected"),
    [
        ("auto", None, [0, 1, 2, 3]), ("all", None, [0, 1, 2, 3]), ("none", None, []), ("2,0", None, [2, 0]),
        ("1-3", None, [1, 2, 3]), ("3,0-1", None, [3, 0, 1]), ("GPU-2a", None, [2]), ("gpu-2A", None, [2]),
        ("auto", "2,1", [2, 1]), ("auto", "2,9,1", [2]), ("auto", "-1", None), ("auto", "", None),
        ("auto", f"{uuid(3)},GPU-1a", [3, 1]), ("1", "0,1", [1]), ("auto", "1,1,2", [1]),
    ],
)  # fmt: skip
def test_words_name_gpus_in_the_order_of_preference(
    words: str, visible: str | None, expected: list[int] | None
) -> None:
    if expected is None:
        with pytest.raises(UserError, match=r"CUDA_VISIBLE_DEVICES=.* hides every GPU"):
            chosen(words, snapshot(), caller(visible))
    else:
        assert [found.index for found in chosen(words, snapshot(), caller(visible))] == expected


@pytest.mark.parametrize(
    ("words", "visible", "said"),
    [
        ("7", None, "no such GPU; there are 0 (GPU-0a2b3c4d), 1"), ("GPU-", None, "the beginning of 4 UUIDs"),
        ("0,1,0", None, "GPU 0 is named 2 times"), ("3-1", None, "write 1-3"), ("0-9", None, "--gpus 4: no such GPU"),
        ("1", "0,2", "GPU 1 is hidden by CUDA_VISIBLE_DEVICES=0,2, which allows 0, 2"), ("", None, "no such GPU"),
        ("0,,1", None, "no such GPU"), ("1.5", None, "no such GPU"), ("-1", None, "no such GPU"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_one_sentence(words: str, visible: str | None, said: str) -> None:
    with pytest.raises(UserError) as raised:
        chosen(words, snapshot(), caller(visible))
    assert len(raised.value.problems) == 1 and said in raised.value.problems[0]


def test_a_gpu_that_cannot_be_used_is_left_out_by_auto_and_refused_by_name() -> None:
    lost = {"index": 1, "uuid": uuid(1), "error": "nvmlDeviceGetMemoryInfo: GPU is lost (NVML error 15)"}
    found = snapshot(gpu(0), lost, gpu(2, mig=True), gpu(3, mode="prohibited"))
    assert [one.index for one in chosen("auto", found, {})] == [0]
    for words, said in (("1", "GPU is lost"), ("2", "MIG instances"), ("0,3", "prohibits"), ("all", "GPU 1")):
        with pytest.raises(UserError) as raised:
            chosen(words, found, {})
        assert said in raised.value.problems[0]


@pytest.mark.parametrize(
    ("words", "visible", "expected"),
    [
        ("auto", None, ["0", "1:0", "1:2"]), ("all", None, ["0", "1:0", "1:2"]), ("1:2,0", None, ["1:2", "0"]),
        ("MIG-12", None, ["1:2"]), ("auto", "MIG-12", ["1:2"]), ("auto", "1", ["1:0", "1:2"]), ("auto", "0", ["0"]),
    ],
)  # fmt: skip
def test_the_instances_of_a_divided_gpu_stand_for_it(words: str, visible: str | None, expected: list[str]) -> None:
    found = snapshot(gpu(0), gpu(1, mig=True), instance(1, 0), instance(1, 2))
    assert [one.label for one in chosen(words, found, caller(visible))] == expected


def test_a_divided_gpu_itself_is_refused_with_the_names_of_its_instances() -> None:
    for found, said in (
        (snapshot(gpu(0), gpu(1, mig=True), instance(1, 0)), "MIG instances; name them: MIG-10000000-"),
        (snapshot(gpu(0), gpu(1, mig=True)), "MIG instances; create one"),
    ):
        with pytest.raises(UserError) as raised:
            chosen("1", found, {})
        assert said in raised.value.problems[0]


def test_without_a_driver_it_says_so() -> None:
    with pytest.raises(UserError, match="no NVIDIA driver is installed; leave --gpus out"):
        chosen("auto", devices.read('{"error": "no NVIDIA driver is installed"}', 0.0), {})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["gpus", "index", "uuid", "processes", "pid", "error"]), inner, max_size=4),
    max_leaves=12,
)


@given(JSON | st.fixed_dictionaries({"gpus": st.lists(JSON, max_size=2)}))
def test_whatever_is_printed_is_a_snapshot(record: Any) -> None:
    found = devices.read(json.dumps(record), 1.0)
    assert found.taken_at == 1.0 and (found.error is None or not found.gpus)


@pytest.mark.parametrize("text", ["", "{", "null", "[]", '{"gpus": 3}', '{"gpus": [{}]}', "[" * 100_000])
def test_what_is_no_list_of_gpus_is_an_error(text: str) -> None:
    assert "printed no list of GPUs" in (devices.read(text, 0.0).error or "")
