"""What is hidden and what is not: spellings of secrets, and ordinary settings that look like them."""

from __future__ import annotations

import random
import string
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.core import redact
from runner.core.secrets import judge
from tests.conftest import PROJECT
from tests.core import secret_corpus
from tests.core.secret_corpus import HEX, MIXED

#: Settings that are not texts.
OTHER_VALUES = [
    ("key_dim", 64), ("num_key_value_heads", 8), ("max_new_tokens", 256), ("hf_token", None), ("hf_token", True),
    ("api_key", 1024), ("hf_token", "***"), ("keys", ["rgb", "depth"]), ("betas", [0.9, 0.999]),
]  # fmt: skip
#: What programs say of keys and tokens.
SENTENCES = [
    "KeyError: 'pad_token'", "error: the following arguments are required: --token", "Unexpected token '}' in JSON",
    "usage: t.py [-h] [--api_key API_KEY] [--token TOKEN] [--lr LR]", "HF_TOKEN is missing; set it",
    "Missing key(s) in state_dict: \"a.weight\"", "tokens/s: 1234.5 | loss: 2.3 | key: q", "Enter password: ",
    "No API key found; wandb login --relogin", "token: <|endoftext|>", "authorization failed",
    "seed=98765432109876 token=<s>",
    "TypeError: f() got an unexpected keyword argument 'token'", "Missing api_key: set WANDB_API_KEY", "wandb login",
]  # fmt: skip

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

@pytest.mark.parametrize(("name", "value"), CERTAIN)
def test_a_secret_is_certain_by_its_name_or_its_form(name: str, value: object) -> None:
    assert judge(name, value) == "yes" and redact.is_secret(name, value)
    assert str(value) not in str(redact.mapping({name: value, "a": [{name: value}]}))
    assert redact.certain({"a": {name: [value]}}) == [f"a.{name}"]


@pytest.mark.parametrize(("name", "value"), DOUBTFUL)
def test_what_may_be_a_secret_is_hidden_and_does_not_refuse_a_config(name: str, value: str) -> None:
    assert judge(name, value) == "maybe" and redact.mapping({name: value}) == {name: "***"}
    assert redact.certain({name: value}) == [] and redact.doubtful({name: value}) == [name]


@pytest.mark.parametrize(("name", "value"), [*secret_corpus.ORDINARY, *OTHER_VALUES])
def test_an_ordinary_setting_is_not_hidden(name: str, value: object) -> None:
    assert judge(name, value) == "no" and redact.mapping({name: value}) == {name: value}
    assert redact.certain({name: value}) == redact.doubtful({name: value}) == []
    if isinstance(value, str):
        words = [f"--{name}", value], [f"--{name}={value}"], [f"{name}={value}"]
        assert [redact.argv(one) for one in words] == [*words]


@pytest.mark.parametrize(("words", "secret"), secret_corpus.hidden())
def test_a_secret_is_hidden_however_it_is_spelled(words: list[str], secret: str) -> None:
    hidden = redact.argv(words)
    assert secret not in " ".join(hidden) and "***" in " ".join(hidden) and len(hidden) == len(words)
    assert redact.argv(hidden) == hidden and len(redact.hidden_names(words)) >= 1
    filled = redact.fill_in(words)
    assert secret not in " ".join(filled) and "YOUR_" in " ".join(filled) and "***" not in " ".join(filled)


@pytest.mark.parametrize("words", secret_corpus.harmless())
def test_ordinary_words_stay(words: list[str]) -> None:
    assert redact.argv(words) == words == redact.fill_in(words)
    assert redact.hidden_names(words) == redact.unrecorded(words) == []


def test_a_word_in_which_a_secret_was_replaced_is_known_as_such() -> None:
    replaced = [["--token=***"], ["--token", "***"], ["api_key==***"], ["--cfg={'token': '***'}"], ["https://me:***@host"],
                ["x --token '***'"], ["f(password=f'***')"], ["<api_key>***</api_key>"]]  # fmt: skip
    assert all(redact.unrecorded(words) for words in replaced)
    assert redact.unrecorded(["--glob=data/***/x"]) == redact.unrecorded(["a *** b: the key is here"]) == []


@pytest.mark.parametrize("text", SENTENCES)
def test_a_sentence_of_a_program_stays(text: str) -> None:
    assert redact.text(text) == text


def test_known_secrets_are_replaced_wherever_they_are_quoted() -> None:
    words = ["t.py", "--api_key", "hush-1234", "--lr", "3", "--token=abc"]
    known = redact.known_values(words, {"HF_TOKEN": "hush-5678", "HOME": "/home/me"})
    assert set(known) == {"hush-1234", "hush-5678"}  # a short one would be found in many words
    said = "401 for hush-1234 and hush-5678 of /home/me"
    assert redact.text(said, (), known) == "401 for *** and *** of /home/me"


def test_the_corpus_is_large_and_its_rates_are_whole() -> None:
    hidden, harmless = secret_corpus.rates()
    assert len(secret_corpus.hidden()) >= 150 and len(secret_corpus.harmless()) >= 150
    assert hidden == len(secret_corpus.hidden()) and harmless == len(secret_corpus.harmless())


@pytest.mark.parametrize("text", ["--token " + "x" * 10**5, "user:pass@" * 500, "a=b," * 5000 + "key", "key: [" * 5000])
def test_a_long_text_is_read_in_about_linear_time(text: str) -> None:
    assert len(redact.text(text)) <= len(text)


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
    dice = random.Random(7)
    tokens = ["".join(dice.choices("0123456789abcdef", k=40)) for _ in range(500)]
    tokens += ["".join(dice.choices(string.ascii_letters + string.digits + "-_", k=54)) for _ in range(500)]
    for name in ("token", "hf_token", "x_key", "api_key", "auth", "my_secret_thing"):
        assert [token for token in tokens if not redact.is_secret(name, token)] == [], name


def test_the_module_compiles_no_pattern_when_it_is_imported() -> None:
    code = (
        "import ast, functools, itertools, json, re, sys, unicodedata; made = []; compiled = re.compile\n"
        "re.compile = lambda *words: made.append(words) or compiled(*words)\n"
        "import runner.core.redact; sys.exit(len(made))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=PROJECT)


@pytest.mark.parametrize("value", ['{{"path": "x"}}', "{[1]: 2}", "{{1, 2}}", "({[]},)"])
def test_a_text_that_only_looks_like_a_literal_is_judged_as_a_text(value: str) -> None:
    assert redact.argv(["--state", value, f"--state={value}"]) == ["--state", value, f"--state={value}"]
