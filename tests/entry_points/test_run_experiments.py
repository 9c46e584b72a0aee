"""run_experiments.py: options, patterns, preflight, dry run. Nothing here trains."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import PROJECT, Workspace

NANOGPT = """\
out_dir = 'out'
batch_size = 12
learning_rate = 6e-4
wandb_log = False
wandb_project = 'owt'
compile = True
device = 'cpu'
max_iters = 10
exec(open('configurator.py').read())
print(batch_size, learning_rate, wandb_log, wandb_project, compile)
"""
# nanoGPT's rule: exec the config, then literal_eval each --key=value, which must have the type of the default.
CONFIGURATOR = """\
import sys
from ast import literal_eval
for arg in sys.argv[1:]:
    if not arg.startswith('--'):
        exec(open(arg).read())
    else:
        key, val = arg[2:].split('=')
        try: val = literal_eval(val)
        except (SyntaxError, ValueError): pass
        if key != 'out_dir': assert type(val) == type(globals()[key]), key
        globals()[key] = val
"""


def arguments(work: Workspace, name: str = "a") -> list[str]:
    return [line[24:] for line in (work.batch / name / "stdout.log").read_text().splitlines()]


def nothing_written(work: Workspace) -> bool:
    return not (work / "experiments").exists()


def test_the_command_is_config_out_dir_and_overrides(echo: Workspace) -> None:
    echo.run(
        "--configs",
        "c/a.py",
        "--train_script",
        "echo.py",
        "--batch_size",
        8,
        "--wandb_project=p",
        "--n_layer=4",
        code=0,
    )
    folder = f"--out_dir={echo.batch}/a"
    config = str(echo / "c/a.py")
    assert arguments(echo) == [config, folder, "--batch_size=8", "--wandb_project=p", "--n_layer=4"]


@pytest.mark.parametrize("spelling", ["--batch_size 8", "--batch-size 8", "--batch_size=8", "--batch-size=8"])
def test_an_option_reaches_an_unknown_script_in_the_spelling_that_was_given(echo: Workspace, spelling: str) -> None:
    echo.run("--configs", "c/a.py", "--train-script", "echo.py", *spelling.split(), code=0)
    assert arguments(echo)[2:] == [spelling.replace(" ", "=")]


@pytest.mark.parametrize(
    ("text", "value"), [("true", "True"), ("False", "False"), ("1", "True"), ("no", "False"), ("YES", "True")]
)
def test_wandb_enabled_reaches_the_job_as_wandb_log(echo: Workspace, text: str, value: str) -> None:
    echo.run("--configs", "c/a.py", "--train_script", "echo.py", "--wandb_enabled", text, code=0)
    assert arguments(echo)[2:] == [f"--wandb_log={value}"]


def test_any_other_key_is_passed_in_both_forms(echo: Workspace) -> None:
    echo.run(
        "--configs", "c/a.py", "--train_script", "echo.py", "--n-layer", "4", "--note=a=b c", "--shift", "-1", code=0
    )
    assert arguments(echo)[2:] == ["--n-layer=4", "--note=a=b c", "--shift=-1"]


def test_a_command_template(echo: Workspace) -> None:
    template = "{python} echo.py --config {config} -o {out_dir}/x --name={name} {overrides} tail"
    echo.run("--configs", "c/a.py", "--command", template, "--lr", "1e-3", code=0)
    folder = f"{echo.batch}/a/x"
    assert arguments(echo) == ["--config", str(echo / "c/a.py"), "-o", folder, "--name=a", "--lr=1e-3", "tail"]


@pytest.mark.parametrize(
    ("template", "message"),
    [("run {konfig}", "{konfig} is not a placeholder"), ("run --x 'y {config}", "quot"), ("run", "{config}")],
)
def test_a_bad_template_is_refused(echo: Workspace, template: str, message: str) -> None:
    assert message in echo.run("--configs", "c/a.py", "--command", template, code=2).stderr
    assert nothing_written(echo)


def test_an_executable_that_is_not_python_is_run_itself(echo: Workspace) -> None:
    echo.write("train.sh", '#!/bin/sh\necho "$@"\n').chmod(0o755)
    echo.run("--configs", "c/a.py", "--train_script", "./train.sh", "--k=v", code=0)
    assert arguments(echo)[0].startswith(f"{echo / 'c/a.py'} --out_dir=/") and arguments(echo)[0].endswith("--k=v")


def test_a_nanogpt_script_gets_values_of_its_types(work: Workspace) -> None:
    work.write("train.py", NANOGPT)
    work.write("configurator.py", CONFIGURATOR)
    work.write("c/a.py", "batch_size = 4\n")
    options = ["--learning_rate", "1", "--wandb_enabled", "yes", "--wandb_project", "123", "--compile", "false"]
    work.run("--configs", "c/a.py", "--train_script", "train.py", *options, code=0)
    assert arguments(work) == ["4 1.0 True 123 False"]


def test_a_nanogpt_script_is_run_in_its_own_folder_where_its_configurator_is(work: Workspace) -> None:
    # Started from the project's root it would otherwise execute our configurator.py.
    work.write("elsewhere/nano/train.py", NANOGPT)
    work.write("elsewhere/nano/configurator.py", CONFIGURATOR)
    config = work.write("c/a.py", "batch_size = 4\n")
    script = work / "elsewhere/nano/train.py"
    options = ["--configs", str(config), "--train_script", str(script), "--base_out_dir", str(work / "experiments")]
    command = [sys.executable, str(PROJECT / "run_experiments.py"), *options]
    shown = subprocess.run([*command, "--dry-run"], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert f"cd {script.parent} && " in shown.stdout
    subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True)
    assert arguments(work) == ["4 0.0006 False owt True"]


def test_a_typo_for_a_nanogpt_script_is_caught_before_anything_starts(work: Workspace) -> None:
    work.write("train.py", NANOGPT)
    work.write("c/a.py", "batchsize = 4\n")
    done = work.run(
        "--configs", "c/a.py", "--train_script", "train.py", "--learning_rat", "1", "--max_iters", "ten", code=2
    )
    assert "c/a.py:1: unknown key 'batchsize'; did you mean 'batch_size'?" in done.stderr
    assert "--learning_rat: unknown key; did you mean --learning_rate?" in done.stderr
    assert "--max_iters must be a whole number, not 'ten'" in done.stderr
    assert nothing_written(work)


# Preflight


def test_all_errors_are_reported_at_once_and_nothing_is_created(work: Workspace) -> None:
    work.write("c/syntax.py", "batch_size = 8\nn_layer = = 2\n")
    work.write("c/unknown.py", "batchsize = 8\n")
    work.write("c/wrong.py", "\nbatch_size = 'many'\n")
    done = work.run("--configs", "c/*.py", "missing.py", "--device", "gpu", "--max_iters", "ten", code=2)
    for sentence in (
        "c/syntax.py:2: invalid syntax",
        "c/unknown.py:1: unknown key 'batchsize'; did you mean 'batch_size'?",
        "c/wrong.py:2: batch_size must be a whole number, not 'many'",
        "missing.py: no file has this name",
        "--max_iters must be a whole number, not 'ten'",
        "cuda",
    ):
        assert sentence in done.stderr
    assert "Traceback" not in done.stderr and done.stdout == ""
    assert nothing_written(work)


@pytest.mark.skipif(Path("/dev/nvidiactl").exists(), reason="this machine has a GPU")
@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_cuda_without_a_gpu_is_refused_with_what_to_type_instead(work: Workspace, device: str) -> None:
    done = work.run("--configs", "easy_first.py", "--device", device, code=2)
    assert "no usable GPU" in done.stderr and "--device cpu" in done.stderr
    assert nothing_written(work)


@pytest.mark.skipif(Path("/dev/nvidiactl").exists(), reason="this machine has a GPU")
def test_a_config_that_asks_for_cuda_is_checked_too(work: Workspace) -> None:
    work.write("a.py", "device = 'cuda'\n")
    assert "no usable GPU" in work.run("--configs", "a.py", code=2).stderr


def test_a_gpu_is_called_cuda(work: Workspace) -> None:
    assert "did you mean 'cuda'?" in work.run("--configs", "easy_first.py", "--device", "gpu", code=2).stderr


@pytest.mark.parametrize("script", [("--train_script", "echo.py"), ("--command", "ssh box train {config}")])
@pytest.mark.parametrize("device", ["gpu", "cuda", "cuda:9", "tpu", "mps", "cuda:x", "GPU:0"])
def test_of_other_programs_a_device_is_at_most_noted(echo: Workspace, script: tuple[str, str], device: str) -> None:
    """LightGBM and JAX have a gpu, a command may run on another machine, and a script may do without."""
    echo.write("ssh", "#!/bin/sh\n")
    (echo / "ssh").chmod(0o755)
    echo.write("c/a.yaml", f"device: {device}\n")
    path = {"PATH": f"{echo.folder}:{os.environ['PATH']}", "CUDA_VISIBLE_DEVICES": ""}
    for given in (("--configs", "c/a.yaml"), ("--configs", "c/a.yaml", "--device", device)):
        if "--device" in given and script[0] == "--command":
            script = (script[0], f"{script[1]} {{overrides}}")
        out = echo.run(*given, *script, "--dry-run", code=0, env=path).stdout
        noted = "hides every GPU; right if the job runs elsewhere" in out
        assert noted == (device in ("cuda", "cuda:9")), out


#: A script that executes its config.
EXECUTES = "x = 1\nexec(open('configurator.py').read())\n"


def test_a_config_is_never_executed_in_the_orchestrator(echo: Workspace) -> None:
    echo.write("c/evil.py", "import os, time\nopen('pid', 'w').write(str(os.getpid()))\nx = time.time()\n")
    echo.run("--configs", "c/evil.py", "--train_script", "echo.py", "--dry-run", code=0)
    assert not (echo / "pid").exists()  # echo.py reads its configs itself
    echo.write("nano.py", EXECUTES)
    process = echo.start("--configs", "c/evil.py", "--train_script", "nano.py", "--dry-run")
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert int((echo / "pid").read_text()) != process.pid


def test_a_config_that_never_ends_is_given_up(echo: Workspace) -> None:
    echo.write("nano.py", EXECUTES)
    echo.write("c/loop.py", "while True: pass\n")
    done = echo.run("--configs", "c/loop.py", "--train_script", "nano.py", "--config_timeout", "1", code=2)
    assert "c/loop.py: did not finish within 1 s" in done.stderr


def test_a_full_disk_is_refused(echo: Workspace) -> None:
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("mounting a small disk takes root")
    small = echo / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(small)], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("this machine does not allow mounting")
    try:
        done = echo.run("--configs", "c/a.py", "--train_script", "echo.py", "--base_out_dir", small, code=2)
        assert "are free there" in done.stderr and list(small.iterdir()) == []
        subprocess.run(["mount", "-o", "remount,ro", str(small)], check=True)
        done = echo.run("--configs", "c/a.py", "--train_script", "echo.py", "--base_out_dir", small / "x", code=2)
        assert "cannot be written" in done.stderr
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_an_output_folder_that_is_a_file_is_refused(echo: Workspace) -> None:
    echo.write("out", "")
    assert (
        "is a file"
        in echo.run("--configs", "c/a.py", "--train_script", "echo.py", "--base_out_dir", "out", code=2).stderr
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--configs"], "expected at least one argument"),
        ([], "--configs is missing"),
        (["--configs", "c/a.py", "--timeout", "soon"], "is not a time above 0"),
        (["--configs", "c/a.py", "--timeout", "-1"], "is not a time above 0"),
        (["--configs", "c/a.py", "--max_failures", "0"], "not a whole number above 0"),
        (["--configs", "c/a.py", "--compile", "maybe"], "--compile maybe: is neither true nor false"),
        (["--configs", "c/a.py", "--foo"], "--foo: has no value; write --foo=VALUE"),
        (["--configs", "c/a.py", "--dry-runn"], "did you mean --dry_run?"),
        (["--configs", "c/a.py", "--out_dir", "x"], "use --base_out_dir"),
        (["--configs", "c/a.py", "--train_script", "no.py"], "no.py: no such file"),
        (["--configs", "c/a.py", "--train_script", "echo.py", "--command", "sh {config}"], "give one of them"),
        (["--configs", "c/a.py", "--command", "nosuchprogram {config}"], "not a program that can be started"),
        (["--configs", "c/a.py", "--train_script", "c"], "is a folder"),
        (["--configs", "c/a.py", "--init_from=resume"], "use --resume"),
        (["--configs", "~nobody-of-this-name/x.py"], "check the path"),
        (["--configs", "x" * 300 + ".py"], "check the path"),
        (["--configs", "c/a.py", "--base_out_dir", "dangling/x"], "leads nowhere"),
        (["--configs", ""], "an empty name"),
        (["--configs", "c/a.py", "--train_script", "echo.py", "--name", "../x"], "a batch is a folder"),
    ],
)
def test_an_error_on_the_command_line_is_one_sentence(echo: Workspace, options: list[str], message: str) -> None:
    (echo / "dangling").symlink_to("/nonexistent/folder")
    if not {"--train_script", "--command"} & set(options):
        options = [*options, "--train_script", "echo.py"]
    done = echo.run(*options, code=2)
    assert message in done.stderr and "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert nothing_written(echo)


def test_a_secret_in_a_config_is_refused_since_configs_are_copied(echo: Workspace) -> None:
    echo.write("c/s.py", "x = 1\nwandb_api_key = 'abc'\n")
    done = echo.run("--configs", "c/s.py", "--train_script", "echo.py", code=2)
    assert "c/s.py:2: 'wandb_api_key' looks like a secret" in done.stderr


# Dry run, output, start-up


def test_a_dry_run_prints_commands_folders_and_changes_and_writes_nothing(work: Workspace) -> None:
    stage = "dict(type='random', max_masked_ratio=.2, val_loss_stale_count=1)"
    work.write("c/a.py", f"dataset = 'pydoc_char'\nbatch_size = 16\nunmasking_stages = [{stage}]\n")
    before = sorted(work.folder.rglob("*"))
    done = work.run("--configs", "c/a.py", "--batch_size", 8, "--dropout=0.5", "--bias", "no", "--dry-run", code=0)
    assert "changes  batch_size 16 -> 8" in done.stdout
    assert "changes  dropout" in done.stdout
    assert "changes  bias" not in done.stdout  # it was False before
    command = next(line.strip() for line in done.stdout.splitlines() if "--out_dir=" in line)
    assert command.split()[2:3] == ["c/a.py"] and "--batch_size=8" in command
    assert sorted(work.folder.rglob("*")) == before


def test_the_command_of_a_dry_run_can_be_pasted(echo: Workspace) -> None:
    echo.write("c/it's a config.py", "x = 1")
    done = echo.run(
        "--configs", "c/it*.py", "--train_script", "echo.py", "--note=two words; $HOME", "--dry-run", code=0
    )
    line = next(line.strip() for line in done.stdout.splitlines() if "echo.py" in line)
    pasted = subprocess.run(["sh", "-c", line], cwd=echo.folder, capture_output=True, text=True, check=True)
    assert pasted.stdout.splitlines()[0] == str(echo / "c/it's a config.py")
    assert pasted.stdout.splitlines()[2] == "--note=two words; $HOME"


def test_json_puts_the_summary_on_standard_output_and_nothing_else(echo: Workspace) -> None:
    done = echo.run("--configs", "c/a.py", "--train_script", "echo.py", "--json", code=0)
    summary = json.loads(done.stdout)
    assert summary["completed"] == 1 and summary["results"]["a"]["status"] == "completed"
    assert "completed" in done.stderr
    plan = json.loads(
        echo.run("--configs", "c/a.py", "--train_script", "echo.py", "--json", "--dry-run", code=0).stdout
    )
    assert plan["jobs"][0]["name"] == "a"


def test_quiet_prints_only_what_failed_and_the_end(echo: Workspace) -> None:
    echo.write("c/b.py", "")
    echo.write("fail.py", "import sys; sys.exit('b.py' in sys.argv[1])")
    done = echo.run("--configs", "c/*.py", "--train_script", "fail.py", "--quiet", code=1)
    assert "started" not in done.stdout and "b: failed" in done.stdout


def test_the_report_ends_with_the_failed_and_shows_how_to_run_them_again(echo: Workspace) -> None:
    echo.write("c/b.py", "")
    echo.write("fail.py", "import sys; sys.exit('b.py' in sys.argv[1])")
    done = echo.run("--configs", "c/*.py", "--train_script", "fail.py", "--lr", "1", "--timeout=9", code=1)
    report = done.stdout[done.stdout.index("✗ b: failed") :]
    table = done.stdout[: done.stdout.index("✗ b: failed")].splitlines()
    assert table[-3].split()[1::2][:2] == ["a", "completed"] and "failed" in table[-2]
    again = next(line for line in report.splitlines() if "again" in line).split(maxsplit=1)[1]
    assert again.split()[2:] == ["--configs", "c/b.py", "--train_script", "fail.py", "--lr", "1", "--timeout=9"]


def test_name_is_the_beginning_of_the_folder(echo: Workspace) -> None:
    echo.run("--configs", "c/a.py", "--train_script", "echo.py", "--name", "lr_test", code=0)
    assert echo.batch.name.startswith("lr_test_20")


def test_two_batches_in_one_second_get_folders_of_their_own(echo: Workspace) -> None:
    processes = [echo.start("--configs", "c/a.py", "--train_script", "echo.py") for _ in range(3)]
    codes = [(process.communicate(timeout=60), process.returncode)[1] for process in processes]
    batches = [path for path in (echo / "experiments").iterdir() if path.name.startswith("experiment_")]
    assert codes == [0, 0, 0] and len(batches) == 3


def test_the_orchestrator_never_imports_torch_wandb_or_numpy(work: Workspace) -> None:
    program = (
        "import sys; sys.argv = ['run_experiments.py', '--configs', 'easy_first.py', '--dry-run', '--device', 'cpu']\n"
        "from runner.cli.main import main\ncode = main()\n"
        "heavy = {'torch', 'wandb', 'numpy'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy or code else 0)"
    )
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    done = subprocess.run(
        [sys.executable, "-c", program], check=False, cwd=work.folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_help_names_every_option_and_the_exit_codes(work: Workspace) -> None:
    text = work.run("--help", code=0).stdout
    for option in (
        "--configs",
        "--batch-size",
        "--wandb-enabled",
        "--base-out-dir",
        "--train-script",
        "--command",
        "--dry-run",
    ):
        assert option in text
    for word in ("exit codes:", "130", "examples:"):
        assert word in text
