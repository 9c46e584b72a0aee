"""Every place of the runner that opens a file or changes a folder by name: through the safe functions, or named here.

What lies below a batch may be a pipe, a device, a link or 40 GB: it is read by runner.disk.reading, opened by
runner.disk.opening and changed by runner.disk.place, of which this file names the few lines that reach the system.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache

import pytest

from tests.conftest import PROJECT

SOURCES = sorted(path for folder in ("runner", "hydra_plugins", "runners", "scripts")
                 for path in (PROJECT / folder).rglob("*.py"))  # fmt: skip
OF_A_PATH = {
    "read_text", "read_bytes", "write_text", "write_bytes", "touch", "mkdir", "rename", "unlink", "rmdir", "symlink_to",
    "hardlink_to",
}  # fmt: skip
OF_A_MODULE = {
    "os": {"open", "fdopen", "mkdir", "makedirs", "rename", "renames", "replace", "unlink", "remove", "removedirs",
           "rmdir", "symlink", "link", "truncate", "mkfifo", "mknod"},
    "io": {"open", "open_code", "FileIO"},
    "shutil": {"rmtree", "move", "copy", "copy2", "copyfile", "copytree"},
}  # fmt: skip

WITHOUT_HARM = re.compile(r"f?'/(proc|sys)/|os\.devnull")  # what the kernel tells, and nothing

SAFE = "the safe function itself"
ROOT = "the folder of a batch itself, or what is above it: it is the user's, and may be a link"
DEVICE = "/dev/null, or a descriptor that is open already"
KERNEL = "what the kernel tells in /proc and in the control groups"
EVALUATION = "a folder of its own that is removed with the evaluation, which has a time limit"
USER = "a file that the user named, outside of a batch"

#: File and function -> why it may.
NAMED = {
    "runner/disk/opening.py:open_file": SAFE,
    "runner/disk/place.py:opened": SAFE,
    "runner/disk/place.py:_enter": SAFE,
    "runner/disk/place.py:remove": SAFE,
    "runner/disk/place.py:move": SAFE,
    "runner/disk/place.py:move_into": SAFE,
    "runner/disk/atomic.py:_write_in": SAFE,
    "runner/disk/atomic.py:_new_file": SAFE,
    "runner/disk/atomic.py:create": SAFE,
    "runner/disk/atomic.py:sync_folder": "opens a folder only",
    "runner/disk/reading.py:open_regular": SAFE,
    "runner/disk/reading.py:open_below": SAFE,
    "runner/disk/whole.py:remove_whole": SAFE,
    "runner/disk/whole.py:copy_whole": SAFE,
    "runner/disk/whole.py:_copy_file": SAFE,
    "runner/executors/slurm_snapshot.py:_copy": "links in a folder that this process has just made",
    "runner/disk/results.py:open_batch": ROOT,
    "runner/disk/results.py:open_root": ROOT,
    "runner/disk/results.py:link": ROOT,
    "runner/disk/removal.py:remove_batch": ROOT,
    "runner/disk/removal.py:repair_latest": ROOT,
    "hydra_plugins/runner_launcher/_folder.py:_taken": ROOT,
    "hydra_plugins/runner_launcher/_function.py:main": "a job's own process, which has no path to import ours yet",
    "runner/cli/detach.py:_register": "background_runs/ in the user's folder, beside the batches",
    "runner/cli/main.py:open_standard_streams": DEVICE,
    "runner/slurm/submissions.py:_read": DEVICE,
    "runner/disk/lock_holders.py:_holders": KERNEL,
    "runner/processes/control_groups.py:folders": KERNEL,
    "runner/processes/memory_limit.py:_of": KERNEL,
    "runner/processes/cpus.py:_quota": KERNEL,
    "runner/processes/rapl.py:_read": KERNEL,
    "runner/supervisor/witness.py:_read": KERNEL,
    "runner/supervisor/witness.py:_file": "a file in memory of the job, through /proc",
    "runner/processes/kernel_file.py:read": KERNEL,
    "runner/gpus/pool.py:_described": KERNEL,
    "runner/gpus/mps.py:is_mps": KERNEL,
    **{f"runner/gpus/rocm.py:{name}": KERNEL for name in ("look", "_gpu", "_properties", "_processes")},
    "runner/gpus/leases.py:_open": "with the same flags and checks; its package lies below runner.disk",
    "runner/gpus/leases.py:folder": "the folder of the locks, which all users of the machine share",
    "runner/supervisor/out_of_memory.py:be_killed_first": KERNEL,
    "runner/configs/child.py:_done": EVALUATION,
    "runner/configs/child.py:_request": EVALUATION,
    "runner/configs/child.py:_answer": EVALUATION,
    "runner/configs/evaluate.py:_evaluate": EVALUATION,
    "runner/configs/evaluate.py:_write": EVALUATION,
    "runner/configs/evaluate.py:_main": DEVICE,
    "runner/configs/config_file.py:content": f"{USER}; it looks at it first, and reads 16 MiB at most",
    "runner/cli/saving.py:save": USER,
    "runner/page/server.py:serve": "its own socket, which the user named",
    "runner/page/server.py:listen_at": "a socket that the user named, and to which nobody listens",
}


def calls(tree: ast.AST, function: str = "") -> Iterator[tuple[str, ast.Call]]:
    """Each call, and the innermost function that it is in."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Call):
            yield function, node
        inside = node.name if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) else function
        yield from calls(node, inside)


def reaches_the_system(call: ast.Call, modules: set[str]) -> bool:
    """Whether it opens a file, or changes a folder, by a name. `modules` are names of our own modules."""
    function = call.func
    if call.args and WITHOUT_HARM.match(ast.unparse(call.args[0])):
        return False
    if isinstance(function, ast.Name):
        return function.id == "open"
    if not isinstance(function, ast.Attribute):
        return False
    owner = function.value.id if isinstance(function.value, ast.Name) else ""
    if owner in OF_A_MODULE:
        return function.attr in OF_A_MODULE[owner]
    if owner in modules:
        return False
    if function.attr == "replace":  # of a text it has two arguments, of a time and a dataclass named ones
        return len(call.args) == 1 and not call.keywords
    first = call.args[0] if call.args else None
    by_mode = isinstance(first, ast.Constant) and isinstance(first.value, str)
    return function.attr in OF_A_PATH or (function.attr == "open" and by_mode)


@cache
def found() -> dict[str, list[str]]:
    """File and function -> the calls in it that reach the system."""
    result: dict[str, list[str]] = {}
    for path in SOURCES:
        tree = ast.parse(path.read_text())
        imported = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        modules = {alias.asname or alias.name for node in imported if (node.module or "").startswith("runner")
                   for alias in node.names if alias.name.islower()}  # fmt: skip
        for function, call in calls(tree):
            if reaches_the_system(call, modules):
                place = f"{path.relative_to(PROJECT)}:{function}"
                result.setdefault(place, []).append(f"{call.lineno}: {ast.unparse(call)}")
    return result


def test_every_open_and_every_change_is_a_safe_one_or_has_a_reason() -> None:
    unknown = {place: lines for place, lines in found().items() if place not in NAMED}
    assert unknown == {}, "use runner.disk.reading, opening or place, or name it with its reason"


def test_no_reason_is_given_for_what_is_gone() -> None:
    assert sorted(NAMED.keys() - found().keys()) == []


def test_no_function_that_opens_a_file_is_imported_by_its_name() -> None:
    bare = {f"{path.relative_to(PROJECT)}: {alias.name}"
            for path in SOURCES for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)
            for alias in node.names if alias.name in OF_A_MODULE.get(node.module or "", ())}  # fmt: skip
    assert bare == set()


@pytest.mark.parametrize("line", [
    "open(x)", "os.open(x, 0)", "io.open(x)", "path.open('rb')", "(a / b).read_text()", "path.write_bytes(b'')",
    "os.unlink(x)", "pointer.replace(target)", "shutil.copy2(a, b)", "Path(x).mkdir()",
])  # fmt: skip
def test_what_reaches_the_system_is_noticed(line: str) -> None:
    assert any(reaches_the_system(call, set()) for _, call in calls(ast.parse(line)))


@pytest.mark.parametrize("line", [
    "text.replace('a', 'b')", "replace(plan, jobs=())", "moment.replace(tzinfo=None)", "place.open(os.O_RDONLY)",
    "names.remove(name)", "reading.read_bytes(path)", "open(f'/proc/{pid}/stat', 'rb')", "open(os.devnull)",
])  # fmt: skip
def test_what_does_not_is_not(line: str) -> None:
    assert not any(reaches_the_system(call, {"reading"}) for _, call in calls(ast.parse(line)))


def test_a_place_opens_nothing_through_a_link() -> None:
    """The calls of the safe functions are relative to an open folder, and do not follow links."""
    for name in ("place", "atomic", "whole"):
        path = PROJECT / "runner" / "disk" / f"{name}.py"
        for function, call in calls(ast.parse(path.read_text())):
            if reaches_the_system(call, set()) and function not in ("opened", "sync_folder", "_copy_file"):
                given = {keyword.arg for keyword in call.keywords}
                assert given & {"dir_fd", "src_dir_fd", "folder"}, f"{name}.{function}: {ast.unparse(call)}"
