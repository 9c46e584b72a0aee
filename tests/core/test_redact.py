"""What is hidden and what is not: spellings of secrets, and ordinary settings that look like them."""

from __future__ import annotations

import random
import secrets
import string
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.core import redact
from runner.core.secrets import judge
from tests.conftest import PROJECT

HEX = "3f786850e387550fdab836ed7e6dc881de23001b"
MIXED = "aB3dE5gH7jK9mN1pQ2rS4tU6vW8xY0zC"

#: name, value: secrets without a doubt. A config that holds one is not copied.
CERTAIN = [
    ("api_key", "abc"), ("API_KEY", "abc"), ("apiKey", "abc"), ("APIKey", "abc"), ("apikey", "abc"),
    ("api-key", "abc"), ("wandb_api_key", HEX), ("WANDB_API_KEY", "x1"), ("wandb.api_key", "abc"),
    ("openai_key", "abc"), ("OPENAI_API_KEY", "abc"), ("hf_token", "abc"), ("hfToken", "abc"), ("HF_TOKEN", "abc"),
    ("HUGGINGFACE_TOKEN", "abc"), ("hub_token", "abc"), ("push_to_hub_token", "abc"), ("access_token", "abc"),
    ("auth_token", "abc"), ("refresh_token", "abc"), ("github_token", "abc"), ("GH_TOKEN", "abc"),
    ("slack_bot_token", "abc"), ("bearer_token", "abc"), ("bearer", "abc"), ("password", "pw"),
    ("PASSWORD", "hunter2"), ("db.password", "x"), ("dbPassword", "x"), ("PGPASSWORD", "x"), ("passwd", "x"),
    ("passphrase", "correct horse battery staple"), ("pwd", "hunter2"), ("smtp_password2", "x"), ("secret", "x"),
    ("Secret", "x"), ("client-secret", "x"), ("client_secret", "x"), ("clientsecret", "x"), ("secret_key", "x"),
    ("aws_secret_access_key", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"), ("private_key", "x"),
    ("credentials", "bob"), ("db_pass", "x9"), ("DB_PASS", "x9"), ("authorization", "Bearer abc"), ("credential", "x"),
    ("_api_key", "abc"), ("api_keys", "abc"), ("api_key_2", "abc"), ("+api_key", "abc"), ("++db.password", "abc"),
    ("db/hf_token", "abc"), ("password", 98765432109876), ("note", f"hf_{MIXED}"), ("x", f"sk-{MIXED}"),
    ("x", f"sk-proj-{MIXED}"), ("x", f"sk-ant-api03-{MIXED}-xyz"), ("x", f"ghp_{MIXED}"), ("x", f"github_pat_{MIXED}"),
    ("x", f"glpat-{MIXED}"), ("aws_id", "AKIAIOSFODNN7EXAMPLE"), ("x", "xoxb-123456789012-abcdefABCDEF"),
    ("x", f"wandb_v1_{MIXED}"), ("x", f"local-{HEX}"), ("x", f"npm_{MIXED}"),
    ("x", "AIzaSyA1234567890abcdefghijklmnopqrstuv"), ("x", f"sk_live_{MIXED}"), ("x", f"r8_{MIXED}"),
    ("x", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P"),
    ("x", "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\n-----END RSA PRIVATE KEY-----"),
    ("x", "-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl"), ("url", "postgres://user:pw@db/x"),
    ("url", "https://user:hunter2@host.org/x"), ("proxy", "http://me:pw@proxy:8080"),
    ("url", "mongodb+srv://u:p%40ss@cluster.net"), ("remote", f"https://{MIXED}@github.com/x/y"),
    ("header", "Authorization: Bearer abcdef"), ("h", f"bearer {MIXED}"), ("h", "X-Api-Key: abcdef"),
    ("hook", "https://hooks.slack.com/services/T0000/B0000/XXXXXXXXXXXXXXXX1"),
]  # fmt: skip

#: Hidden, since they may be secrets; a config that holds one is copied all the same.
DOUBTFUL = [
    ("token", "hush"), ("db/token", "hush"), ("TOKEN", "abc"), ("sort_key", MIXED), ("x_token", MIXED), ("key", HEX),
    ("wandb", HEX), ("session", MIXED), ("auth", "user:hunter2"), ("auth", "Tr0ub4dor3x9"),
    ("password_for_prod_db", "aB3dE5gH7j"), ("secrets.wandb", "aB3dE5gH7j"), ("sig", MIXED), ("license", MIXED),
    ("blob", MIXED), ("data", MIXED + "+/="),
]  # fmt: skip

#: name, value: ordinary settings.
HARMLESS = [
    ("pad_token", "<pad>"), ("eos_token", "</s>"), ("eos_token", "<|endoftext|>"), ("bos_token", "<s>"),
    ("unk_token", "[UNK]"), ("mask_token", "[MASK]"), ("mask_token", "[M]"), ("cls_token", "[CLS]"),
    ("sep_token", "[SEP]"), ("image_token", "<image>"), ("stop_token", "\\n"), ("newline_token", "Ċ"),
    ("pad_token", "!"), ("eos_token", "endoftext"), ("model.eos_token", "eos"),
    ("pad_token", "<|reserved_special_token_0|>"), ("token", "<eos>"), ("decoder_start_token", "<s>"),
    ("sort_key", "loss"), ("sort_key", "val/loss"), ("key_dim", "64"), ("key_dim", 64), ("image_key", "jpg"),
    ("image_key", "observation.images.top_2024"), ("monitor_key", "val_loss"), ("num_key_value_heads", 8),
    ("key", "accuracy"), ("key", "text"), ("primary_key", "id"), ("primary_key", "user_id"), ("keyframes", "1,2,3"),
    ("group_key", "speaker"), ("label_key", "fine_label"), ("dict_keys", "a,b"), ("key_size", "256"),
    ("key_prefix", "model.layers"), ("tokenizer", "gpt2"), ("tokenizer_name", "meta-llama/Llama-3.1-8B-Instruct"),
    ("tokenizer_path", "/data/tok.json"), ("token_dropout", "0.1"), ("token_type", "bpe"), ("max_new_tokens", 256),
    ("max_tokens", "1000000000"), ("tokens", "1B"), ("special_tokens", "<a>,<b>"), ("tokens_per_batch", "524288"),
    ("n_tokens", "300B"), ("token_level", "word"), ("password_field", "pw"), ("password_length", "12"),
    ("secret_name", "prod/wandb"), ("secret_santa", "bob"), ("api_key_env", "WANDB_API_KEY"),
    ("api_key", "WANDB_API_KEY"), ("api_key", "${WANDB_API_KEY}"), ("hf_token", "$HF_TOKEN"),
    ("hf_token", "<your token>"), ("hf_token", "YOUR_TOKEN"), ("hf_token", "***"), ("hf_token", ""),
    ("hf_token", None), ("hf_token", True), ("use_auth_token", "true"), ("api_key", "none"),
    ("api_key", "${oc.env:KEY}"), ("token", "{{ token }}"), ("api_key", 1024), ("credentials", "/home/me/gcp.json"),
    ("private_key", "~/.ssh/id_rsa"), ("ssh_key", "keys/server.pem"), ("token_path", "~/.cache/huggingface/token"),
    ("auth", "basic"), ("first_pass", "greedy"), ("forward_pass", "eager"), ("key_signature", "4/4"),
    ("auth_type", "oauth"), ("monkey", "abc"), ("keyboard", "us"), ("commit", HEX), ("git_commit", HEX),
    ("revision", HEX), ("x", HEX), ("sha256", HEX + HEX[:24]), ("checksum", HEX), ("weights", f"sha256:{HEX}"),
    ("run_id", "3n8k2v9q"), ("uuid", "123e4567-e89b-12d3-a456-426614174000"),
    ("x", "123e4567-e89b-12d3-a456-426614174000"), ("x", "123E4567-E89B-12D3-A456-426614174000"),
    ("session_id", MIXED), ("path", "/data/run_2024/Llama-3.1-8B/checkpoint-1000/model.safetensors"),
    ("model", "DeepSeek-R1-Distill-Qwen-32B-Q4-K-M-v2"), ("model", "meta-llama/Meta-Llama-3.1-405B-Instruct-FP8"),
    ("repo", "hf_internal_testing/tiny_random_model"), ("name", "sk-learn-pipeline-2024-run-3-with-more-words"),
    ("block", "layer3block2conv1norm2"), ("lr", "0.001"), ("prompt", "Give me the password: now, please"),
    ("prompt", "What is a token? A key to language models."),
    ("prompt", "The secret of the key=value store is its simplicity"), ("system", "You are a bearer of good news"),
    ("url", "https://huggingface.co/datasets/x"), ("url", "ssh://git@github.com/x/y.git"),
    ("url", "git@github.com:x/y.git"), ("url", "http://localhost:8080/a@b"), ("proxy", "http://proxy:8080"),
    ("url", "https://user:${PASSWORD}@host"), ("dtype", "bfloat16"), ("time", "2024-01-01T00:00:00+00:00"),
    ("glob", "data/***/x"), ("pattern", "(?P<key>[a-z]+)=(?P<value>.+)"),
    ("letters", "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"),
    ("cert", "-----BEGIN CERTIFICATE-----\nMIIB"),
]  # fmt: skip

#: Words of a command with the text HUSH in them, which must not be left.
SPELLINGS = [
    ["--api_key=HUSH"], ["--api_key", "HUSH"], ["--api-key", "HUSH"], ["-api_key=HUSH"], ["api_key=HUSH"],
    ["+api_key=HUSH"], ["++db.password=HUSH"], ["db/token=HUSH"], ["~x", "hf_token=HUSH"], ["WANDB_API_KEY=HUSH"],
    ["env", "HF_TOKEN=HUSH", "python"], ["--opts={'token': 'HUSH'}"], ["--cfg={\"api_key\": \"HUSH\"}"],
    ["--cfg={api_key: HUSH}"], ["+cfg={lr:1,api_key:HUSH}"], ["--cfg={'a': {'b': [{'password': 'HUSH'}]}}"],
    ["--opts", "{'token': 'HUSH'}"], ["--set", "api_key:HUSH"], ["--set", "api_key=HUSH"], ["--token=", "HUSH"],
    ["--token= HUSH"], ["--token", " HUSH"], ["--resume_args", "--token HUSH"], ["--resume_args=--token HUSH"],
    ["sh", "-c", "TOKEN=HUSH python t.py"], ["sh", "-c", "'TOKEN=HUSH' x"],
    ["--command", "sh -c 'TOKEN=HUSH python t.py {config}'"], ["bash", "-c", "export HF_TOKEN=\"HUSH\"; python t.py"],
    ["bash", "-c", "python t.py --password 'HUSH' --lr 3"], ["--api_key=[\"HUSH\"]"], ["--api_keys=[HUSH,HUSH]"],
    ["--api_keys", "['HUSH', 'HUSH']"], ["--auth", "user:HUSH"], ["--pwd", "HUSH"], ["--bearer", "HUSH"],
    ["curl", "-u", "user:HUSH", "x"], ["sh", "-c", "curl -u me:HUSH http://x"], ["--url=postgres://u:HUSH@h"],
    ["https://user:HUSH@host"], ["git", "clone", "https://u:HUSH@host/x"], ["-H", "Authorization: Bearer HUSH123"],
    ["sh", "-c", "curl -H 'Authorization: Basic HUSH123'"], ["-H", "X-Api-Key: HUSH123"],
    ["--extra", "--lr 3 --wandb_api_key=HUSH"], ["x", "-e", "WANDB_API_KEY=HUSH"], ["--env", "HF_TOKEN=HUSH"],
    ["--url=https://x.org/?api_key=HUSH&b=1"], ["--url", "https://x.org/?a=1&access_token=HUSH"], ["hf_token:HUSH"],
    ["--json", "{\"a\": 1, \"client_secret\": \"HUSH\"}"], ["--db.password=HUSH"], ["--model.hub.token=HUSH"],
    ["x", "token='HUSH'"],
]  # fmt: skip

#: Words of a command that stay as they are.
KEPT = [
    ["--pad_token", "<pad>"], ["--mask_token=[MASK]"], ["--sort_key=loss"], ["--key_dim", "64"],
    ["--tokenizer", "gpt2"], ["--eos_token=</s>"], ["--glob=data/***/x"], ["python", "-u", "train.py"],
    ["docker", "run", "-u", "1000:1000"], ["sh", "-c", "HF_TOKEN=$HF_TOKEN python t.py"], ["--hf_token", "$HF_TOKEN"],
    ["--token", "--lr"], ["--commit", HEX], [HEX], ["--prompt", "a *** b: the key is here"],
    ["--cfg={'eos_token': '</s>', 'sort_key': 'loss'}"], ["--stop_token", "[\"</s>\"]"],
    ["--data", "/data/key/token/x.bin"], ["--image_keys=['rgb', 'depth']"], ["key=value"], ["--password_field=pw"],
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), CERTAIN)
def test_a_secret_is_certain_by_its_name_or_its_form(name: str, value: object) -> None:
    assert judge(name, value) == "yes" and redact.is_secret(name, value)
    assert str(value) not in str(redact.mapping({name: value, "a": [{name: value}]}))
    assert redact.certain({"a": {name: [value]}}) == [f"a.{name}"]


@pytest.mark.parametrize(("name", "value"), DOUBTFUL)
def test_what_may_be_a_secret_is_hidden_and_does_not_refuse_a_config(name: str, value: str) -> None:
    assert judge(name, value) == "maybe" and redact.mapping({name: value}) == {name: "***"}
    assert redact.certain({name: value}) == [] and redact.doubtful({name: value}) == [name]


@pytest.mark.parametrize(("name", "value"), HARMLESS)
def test_an_ordinary_setting_is_not_hidden(name: str, value: object) -> None:
    assert judge(name, value) == "no" and redact.mapping({name: value}) == {name: value}
    assert redact.certain({name: value}) == redact.doubtful({name: value}) == []
    if isinstance(value, str):
        words = [f"--{name}", value], [f"--{name}={value}"], [f"{name}={value}"]
        assert [redact.argv(one) for one in words] == [*words]


@pytest.mark.parametrize("words", SPELLINGS, ids=" ".join)
def test_a_secret_is_hidden_however_it_is_spelled(words: list[str]) -> None:
    hidden = redact.argv(words)
    assert "HUSH" not in " ".join(hidden) and "***" in " ".join(hidden) and len(hidden) == len(words)
    assert redact.argv(hidden) == hidden and len(redact.hidden_names(words)) >= 1 and redact.unrecorded(hidden)
    filled = redact.fill_in(words)
    assert "HUSH" not in " ".join(filled) and "YOUR_" in " ".join(filled) and "***" not in " ".join(filled)


@pytest.mark.parametrize("words", KEPT, ids=" ".join)
def test_ordinary_words_stay(words: list[str]) -> None:
    assert redact.argv(words) == words == redact.fill_in(words)
    assert redact.hidden_names(words) == redact.unrecorded(words) == []


def test_the_place_to_fill_in_names_what_belongs_there() -> None:
    words = ["run", "--hf_token", "abc", "--wandb_api_key=abc", "--db.password=x", f"hf_{MIXED}"]
    assert redact.fill_in(words) == [
        "run", "--hf_token", "YOUR_TOKEN", "--wandb_api_key=YOUR_KEY", "--db.password=YOUR_PASSWORD", "YOUR_VALUE"
    ]  # fmt: skip


def test_what_the_user_declares_to_be_no_secret_is_shown_in_every_spelling() -> None:
    shown = ("hf-token", "db.password")
    assert redact.mapping({"hf_token": "a", "db": {"password": "b"}, "password": "c"}, shown) == {
        "hf_token": "a", "db": {"password": "b"}, "password": "***"
    }  # fmt: skip
    words = [
        "--hf_token",
        "a",
        "--HF-TOKEN=a",
        "+hf_token=a",
        "x/hf_token=a",
        "--opts={'hf_token': 'a'}",
        "sh -c hf_token=a",
    ]
    assert redact.argv(words, shown) == words
    assert redact.certain({"hf_token": "a", "db": {"password": "b"}}, shown) == []
    assert list(redact.certain_in_text(f"hf_token = 'a'\nhf_token: hf_{MIXED}\n", shown)) == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("x = 1\napi_key = ['S']\n", [(2, "api_key")]),
        ("api_key = 'S'\ndel api_key\n", [(1, "api_key")]),
        (f"# hf_{MIXED}\n", [(1, "")]),
        (f"# token: hf_{MIXED}\n", [(1, "token")]),
        ("url: postgres://u:pw@h/x  # here\n", [(1, "url")]),
        ('{"wandb": {"api_key": "S"}}', [(1, "api_key")]),
        ("api_key = os.environ['WANDB_API_KEY']\n", []),
        ("pad_token = '<pad>'\nsort_key = 'loss'\n# password: see the wiki\n", []),
        ("token = 'word'\nkeys = ['a', 'b']\n", []),
    ],
)
def test_a_secret_is_found_in_the_text_of_a_config(source: str, found: list[tuple[int, str]]) -> None:
    assert list(redact.certain_in_text(source)) == found


def test_hidden_values_agree_with_any_other() -> None:
    assert redact.agree({"a": "***", "b": [1, "***"]}, {"a": 5, "b": [1, {"x": 2}]})
    assert (
        redact.agree("<pad>", "***") and not redact.agree({"a": 1}, {"a": 1.0}) and not redact.agree({"a": 1}, {"b": 1})
    )


LETTERS = string.ascii_letters + string.digits


@pytest.mark.parametrize("name", ["x_key", "my_token", "cookie", "blob", "note"])
def test_a_random_text_of_forty_signs_is_hidden_nearly_always(name: str) -> None:
    chance = random.Random(name)
    texts = ["".join(chance.choice(LETTERS) for _ in range(40)) for _ in range(1000)]
    assert sum(redact.is_secret(name, one) for one in texts) >= 970


@settings(deadline=None)
@given(st.text(max_size=60), st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=80)))
def test_any_name_and_value_can_be_judged_and_what_was_hidden_stays_so(name: str, value: object) -> None:
    once = redact.mapping({name: value})
    assert repr(redact.mapping(once)) == repr(once)


@settings(deadline=None)
@given(st.lists(st.text(max_size=40), max_size=6))
def test_any_words_can_be_read_and_what_was_hidden_stays_so(words: list[str]) -> None:
    once = redact.argv(words)
    assert len(once) == len(words) and redact.argv(once) == once
    assert (once == words) == (redact.hidden_names(words) == [])


@given(
    st.text(string.ascii_lowercase + "_ .-/", min_size=1, max_size=60),
    st.text(string.ascii_lowercase + " ", max_size=60),
)
def test_plain_words_are_hidden_for_their_name_only(name: str, value: str) -> None:
    if judge(name, "abcdefgh") == "no":
        assert redact.mapping({name: value}) == {name: value}


def test_a_real_token_is_hidden_under_every_name_of_a_token() -> None:
    for name in ("token", "hf_token", "x_key", "api_key", "auth", "my_secret_thing"):
        assert redact.is_secret(name, secrets.token_urlsafe(40)) and redact.is_secret(name, secrets.token_hex(20)), name


def test_the_module_compiles_no_pattern_when_it_is_imported() -> None:
    code = (
        "import ast, functools, itertools, re, sys; made = []; compiled = re.compile\n"
        "re.compile = lambda *words: made.append(words) or compiled(*words)\n"
        "import runner.core.redact; sys.exit(len(made))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=PROJECT)


@pytest.mark.parametrize("value", ['{{"path": "x"}}', "{[1]: 2}", "{{1, 2}}", "({[]},)"])
def test_a_text_that_only_looks_like_a_literal_is_judged_as_a_text(value: str) -> None:
    assert redact.argv(["--state", value, f"--state={value}"]) == ["--state", value, f"--state={value}"]
