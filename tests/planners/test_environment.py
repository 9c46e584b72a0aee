"""What a job's environment gets; and the one rule for whether wandb would find a key."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.planners.environment import THREADS, additions, has_wandb_key, threads

FORGE = "https://api.forge.coreweave.com"
OWN = "https://logs.example.org:8080"


@pytest.mark.parametrize(
    ("logins", "base_url", "default", "found"),
    [
        ("api.wandb.ai", "", "", True), ("wandb.example.org", "", "", True), ("github.com", "", "", False),
        ("api.wandb.ai", "", "https://api.wandb.ai", True), ("api.wandb.ai", "", FORGE, False),
        ("api.forge.coreweave.com", "", FORGE, True), ("api.forge.coreweave.com", "", "", True),
        ("logs.example.org", OWN, "", True), ("api.wandb.ai", OWN, "", False), ("api.wandb.ai", OWN, FORGE, False),
        ("", "", "", False),
    ],
)  # fmt: skip
def test_a_key_in_netrc_counts_for_the_server_that_is_used(
    tmp_path: Path, logins: str, base_url: str, default: str, found: bool
) -> None:
    (tmp_path / ".netrc").write_text(f"machine {logins} login user password key\n" if logins else "")
    environ = {"HOME": str(tmp_path)} | ({"WANDB_BASE_URL": base_url} if base_url else {})
    assert has_wandb_key(environ, default) is found


def test_a_default_login_counts_for_every_server(tmp_path: Path) -> None:
    path = tmp_path / "logins"
    path.write_text("default login user password key\n")
    environ = {"NETRC": str(path)}
    assert has_wandb_key(environ) and has_wandb_key(environ, FORGE)


@pytest.mark.parametrize("name", ["WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE"])
def test_a_key_in_the_environment_is_enough(tmp_path: Path, name: str) -> None:
    assert has_wandb_key({"HOME": str(tmp_path), name: "x"})
    assert not has_wandb_key({"HOME": str(tmp_path), name: ""})


def test_without_a_key_wandb_is_offline_and_what_the_user_set_stays(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path), "WANDB_DIR": "mine"}
    added = additions(environ, tmp_path / "out", "batch", "job", tmp_path / "cache")
    assert added["WANDB_MODE"] == "offline" and added["WANDB_RUN_GROUP"] == "batch" and "WANDB_DIR" not in added
    assert "WANDB_MODE" not in additions({**environ, "WANDB_API_KEY": "x"}, tmp_path, "b", "j", tmp_path)
    assert "WANDB_MODE" not in additions({**environ, "WANDB_MODE": "online"}, tmp_path, "b", "j", tmp_path)


@pytest.mark.parametrize(
    ("workers", "cpus", "expected"),
    [(2, 8.0, "4"), (4, 2.0, "1"), (2, 1.5, "1"), (3, 16.0, "5"), (2, 64.0, "32")],
)
def test_jobs_that_run_side_by_side_divide_the_cpus(workers: int, cpus: float, expected: str) -> None:
    assert threads({}, workers, cpus) == dict.fromkeys(THREADS, expected)


def test_one_job_at_a_time_has_the_threads_that_its_libraries_choose() -> None:
    assert threads({}, 1, 8.0) == {}


@pytest.mark.parametrize("name", THREADS)
def test_a_number_of_threads_that_the_user_has_set_is_not_mixed_with_ours(name: str) -> None:
    assert threads({name: "3"}, 2, 8.0) == {}
