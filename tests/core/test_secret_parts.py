"""What a value or a word has to look like to be taken for a secret, at each limit."""

from __future__ import annotations

import pytest

from runner.core import redact, secret_words, secrets, token_forms
from runner.core.secret_hints import may_hold
from runner.core.secret_names import kind
from runner.core.secret_words import Words, is_shown, plain, settings, verdict
from runner.core.secrets import (
    is_login,
    is_long_and_random,
    is_reference,
    is_trivial,
    judge,
    looks_chosen,
    looks_random,
)

MIXED = "aB3dE5gH7jK9mN1pQ2rS4tU6vW8xY0zA"  # 32 characters that change places
HEX = "0a1b2c3d4e5f6a7b8c9d0e1f2a3b4c5d"


@pytest.mark.parametrize(
    ("value", "least", "random"),
    [
        ("a1b2c3d4", 8, True), ("a1b2c3d", 8, False), ("a1b2c3d4", 9, False), ("a1b2 3d4", 8, False),
        ("abcdefgh", 8, False),
        ("12345678", 8, False), ("abcd1234", 8, False), ("a1b2cdefghijklm", 8, False), ("a1b2cdefgh", 8, True),
        ("0123456789abcdef", 16, False), ("0a1b456789abcdef", 16, True), ("0a1456789abcdefg", 16, False),
        ("0a1456789abcdeff", 8, True),
        ("0a1456789abcdef", 8, False),
        ("aB3d-E5gH7-jK9m-N1pQ2-rS4t", 16, True), ("a1-b2-c3-d4-e5-f6-g7", 16, False), (MIXED, 32, True),
        (MIXED, 33, False),
        ("a1-b2-c3-d4-e5-f6-g7-h8-i9-j0", 16, True), ("a1-b2-c3-wordwordwordword-d4-e5", 16, False),
    ],
)  # fmt: skip
def test_what_looks_random(value: str, least: int, random: bool) -> None:
    assert looks_random(value, least) is random


@pytest.mark.parametrize(
    ("value", "chosen"),
    [("abc12!", True), ("abc1!", False), ("abcdef", False), ("123456", False), ("!!!!!1", False), ("ab 123", False),
     ("ab/123", False), ("abc,12", False), ("hunter2", True), ("pass~word", True)],
)  # fmt: skip
def test_what_a_person_may_have_chosen(value: str, chosen: bool) -> None:
    assert bool(looks_chosen(value)) is chosen


@pytest.mark.parametrize(
    ("value", "found"),
    [(MIXED, True), (MIXED[:31], False), (HEX * 2, False), ("sha256:" + MIXED, False), (MIXED.lower(), False),
     (MIXED + " ", False), ("aB3-" * 10, False), (MIXED[:11] + "-" + MIXED[:11] + "-" + MIXED[:11], False),
     (MIXED[:12] + "-" + MIXED[:11] + "-" + MIXED[:11], True), ("Abcdefgh1" * 5, False)],
)  # fmt: skip
def test_what_is_long_and_random(value: str, found: bool) -> None:
    assert is_long_and_random(value) is found


@pytest.mark.parametrize(
    ("value", "login"),
    [("user:pass", True), ("user:pas", False), (":pass", False), ("user", False), ("user:1000", False),
    ("1000:100a", True),
     ("user:pa ss", False), ("a/b:pass", False), ("user:none", False), ("user:'pass", False)],
)  # fmt: skip
def test_what_is_a_user_and_a_password(value: str, login: bool) -> None:
    assert is_login(value) is login


@pytest.mark.parametrize(
    ("value", "trivial"),
    [
        ("", True), (" None ", True), ("***", True), ("...", True), ("<token>", True), ("${HF_TOKEN}", True),
        ("$HF", True),
        ("x{{ y }}", True), ("xxxx", True), ("your-key", True), ("a", False), ("xyz1", False),
        ("os.environ['A']", True),
        ("<" + "a" * 998 + ">", True), ("<" + "a" * 999 + ">", False), ("file:/a/b", True), ("%(x)s", True),
    ],
)  # fmt: skip
def test_what_cannot_be_a_secret(value: str, trivial: bool) -> None:
    assert is_trivial(value) is trivial


def test_a_name_of_a_place_is_a_reference_unless_it_looks_random() -> None:
    assert all(
        map(is_reference, ("/a/b", "~/x", "./k.pem", "C:\\x", "https://h/p", "key.json", "HF_TOKEN", "MY_API_KEY"))
    )
    assert not any(map(is_reference, ("abc", f"/{MIXED}", "hf_token", "a b.json")))


@pytest.mark.parametrize(
    ("name", "value", "verdict_"),
    [
        ("api_key", 10**5, "yes"), ("api_key", 10**5 - 1, "no"), ("api_key", -(10**5), "yes"), ("lr", 10**6, "no"),
        ("api_key", 1.5, "no"), ("api_key", True, "no"), ("api_key", None, "no"), ("api_key", "/etc/key", "no"),
        ("token", "abc", "maybe"), ("token", "/x/y", "no"), ("token", MIXED[:16], "yes"),
        ("token", MIXED[:15], "maybe"),
        ("pass", "hunter2", "maybe"), ("pass", "hunt_er2", "no"), ("pass", "abc", "no"),
        ("auth_x", "a1b2c3d4", "maybe"), ("auth_x", "a1b2c3d", "no"), ("auth_x", "user:passw", "maybe"),
        ("sort_key", MIXED[:16], "maybe"), ("sort_key", MIXED[:15], "no"), ("note", MIXED, "maybe"),
        ("note", "words", "no"),
        ("run_id", MIXED, "no"),
    ],
)  # fmt: skip
def test_a_value_is_judged_by_its_name_and_its_looks(name: str, value: object, verdict_: str) -> None:
    assert judge(name, value) == verdict_


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("api_key", "clear"), ("apiKeys", "clear"), ("hf_token", "clear"), ("hftoken", "clear"), ("accesskey", "clear"),
        ("access_tokens", "clear"), ("hf_tokens", "weak"), ("github_pat", "clear"), ("my_pat", "weak"),
        ("db_pass", "clear"),
        ("my_pass", "weak"), ("token", "bare"), ("x.token", "bare"), ("token.value", "bare"), ("pass", "short"),
        ("x_pass", "weak"), ("key_id", "ordinary"), ("password_file", "neutral"), ("api_key_old", "clear"),
        ("old", "neutral"), ("", "neutral"), ("api.key", "clear"), ("secrets.wandb", "bare"),
        ("secrets.user", "strong"),
        ("secrets.path", "neutral"), ("secret_thing", "strong"), ("api_key_x", "strong"), ("token_hf", "clear"),
        ("token_db", "weak"), ("password_db", "clear"), ("token_x", "weak"), ("mytoken", "weak"), ("lr", "neutral"),
        ("password2", "clear"), ("value.old", "neutral"), ("apikey", "clear"), ("session", "weak"),
    ],
)  # fmt: skip
def test_what_a_name_says(name: str, what: str) -> None:
    assert kind(name) == what


# Words of a command


def hidden(*words: str) -> list[str]:
    return redact.argv(words)


@pytest.mark.parametrize(
    ("words", "left"),
    [
        (["--token", "=", "S3cret"], ["--token", "=", "***"]), (["t", "=", "x"], ["t", "=", "x"]),
        (["--opts", "HUB.TOKEN", "S3cret"], ["--opts", "HUB.TOKEN", "***"]),
        (["--lr", "HUB.TOKEN", "S3cret"], ["--lr", "HUB.TOKEN", "S3cret"]), (["hub.token", "S3cret"],
        ["hub.token", "***"]),
        (["api_key:", "S3cret"], ["api_key:", "***"]), (["api_key", "S3cret"], ["api_key", "***"]),
        (["--api_keys", "S1x", "S2x"], ["--api_keys", "***", "***"]), (["--key", "a", "S2x"], ["--key", "a", "S2x"]),
        (["--token", "--next"], ["--token", "--next"]), (["-Dapi_key=S"], ["-Dapi_key=***"]),
        (["--env=HF_TOKEN=S"], ["--env=HF_TOKEN=***"]), (["+db/token=S"], ["+db/token=***"]),
        (["sshpass", "-p", "S3cret"], ["sshpass", "-p", "***"]), (["x", "-p", "S3cret"], ["x", "-p", "S3cret"]),
        (["/usr/bin/mysql", "-pS3cret"], ["/usr/bin/mysql", "-p***"]), (["mysql", "-p", "x"], ["mysql", "-p", "x"]),
        (["-u", "me:S3cret"], ["-u", "***"]), (["--user=me:S3cret"], ["--user=***"]), (["-v", "me:S3cret"],
        ["-v", "me:S3cret"]),
        (["sh", "-c", "TOKEN=S3cret x"], ["sh", "-c", "TOKEN=*** x"]), (["sh", "-xc", "A=1"], ["sh", "-xc", "A=1"]),
        (["--api_key=['S']"], ["--api_key=***"]), (["--x={'token': 'S'}"], ["--x=***"]), (["--api_key='S'"],
        ["--api_key=***"]),
        (["ａｐｉ_key=S"], ["api_key=***"]), (["ａbc=1"], ["ａbc=1"]), (["api\u200b_key=S"], ["api_key=***"]),
    ],
)  # fmt: skip
def test_a_word_is_read_after_the_words_before_it(words: list[str], left: list[str]) -> None:
    assert hidden(*words) == left


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("a --token S3cret b", "a --token *** b"), ("setenv HF_TOKEN S3", "setenv HF_TOKEN ***"),
        ("-u me:S3cret", "-u ***"),
        ("['HF_TOKEN', 'S3cret']", "['HF_TOKEN', '***']"), ("['HF_TOKEN', 'word']", "['HF_TOKEN', 'word']"),
        ("os.environ.setdefault('HF_TOKEN', 'word')", "os.environ.setdefault('HF_TOKEN', '***')"),
        ("<token>S3cret</token>", "<token>***</token>"), ("the password is S3cret!", "the password is ***"),
        ("the password is wrong", "the password is wrong"), ("f(api_key='S', x=1)", "f(api_key='***', x=1)"),
        ("api_key: S", "api_key: ***"), ("use the api_key: S and more", "use the api_key: S and more"),
        ("use the api_key: S3cret and", "use the api_key: *** and"), ("hf_token = S; x", "hf_token = ***; x"),
        ("name: HF_TOKEN, value: S3", "name: HF_TOKEN, value: ***"), ("token=abc,def", "token=***"),
        ("f(token=token)", "f(token=token)"), ("keys: [a, b]", "keys: [a, b]"), ("api_keys: [S, T]", "api_keys: ***"),
        ("password = get('x')", "password = get('x')"), ("password = SecretStr('S')", "password = ***"),
        ('{"wandb": {"api_key": "S"}}', '{"wandb": ***}'), ('"token": \'S3cret\'', '"token": \'***\''),
    ],
)  # fmt: skip
def test_a_text_is_read_setting_by_setting(text: str, left: str) -> None:
    assert redact.text(text) == left


def test_what_is_shown_is_shown_by_its_last_part_too() -> None:
    assert is_shown("--hf-token", ["hf_token"]) and is_shown("x.y/HF_TOKEN", ["hf-token"]) and is_shown("a.b", ["a.b"])
    assert not is_shown("hf_token", []) and not is_shown("hf_token_x", ["hf_token"]) and not is_shown("b", ["a.b"])
    shown = ("hf_token",)
    assert redact.argv(["--hf_token", "S", "--api_key", "S"], shown) == ["--hf_token", "S", "--api_key", "***"]
    assert (
        redact.argv(["hf_token", f"hf_{MIXED}"], shown)[1] == "***"
        and redact.text("--hf_token S", shown) == "--hf_token S"
    )
    assert redact.text(f"hf_token = 'hf_{MIXED}'", shown) == f"hf_token = 'hf_{MIXED}'"
    assert (
        redact.text(f"other = 'hf_{MIXED}'", shown) == "other = '***'"
        and redact.text("hf_token=S", shown) == "hf_token=S"
    )
    words = Words((), str.upper)
    assert words.all(["--api_key", "S", "t.py"]) == ["--api_key", "API_KEY", "t.py"]
    assert (words.names, words.values) == (["api_key"], ["S"]) and plain(" --+x=: ") == "x=: ".strip().rstrip("=:")


def test_a_setting_has_the_place_of_its_value() -> None:
    text = 'a = "b c", d: (e), f=[g], h->i)'
    found = [(one.name, one.value, text[one.start : one.end], one.quoted, one.apart, one.at) for one in settings(text)]
    assert found == [
        ("a", "b c", "b c", True, True, 0), ("d", "(e)", "(e)", True, True, 11), ("f", "[g]", "[g]", True, False, 19),
        ("h", "i", "i", False, False, 26),
    ]  # fmt: skip
    verdicts = [
        verdict(next(settings(one)))
        for one in ("token='S'", "api_key=[a, S]", "api_key={a: S}", "x={api_key: S}", "api_key=none,S")
    ]
    assert verdicts == ["maybe", "yes", "maybe", "yes", "no"]


def test_names_within_a_list_are_those_of_a_dict_only() -> None:
    assert verdict(next(settings("x={api_key: S3cret}"))) == "yes"
    assert verdict(next(settings("x=[api_key: S3cret]"))) == "no"


def test_lists_and_dicts_in_one_word_are_read() -> None:
    assert [redact.is_secret("x", one) for one in ("{'token': 'S'}", "[{'api_key': 'S'}]", "{'a': 1}", "[a, b]")] == [
        True, True, False, False
    ]  # fmt: skip
    assert redact.is_secret("api_key", "[Sx]") and not redact.is_secret("x", "{'hf_token': 'S'}", ["hf_token"])
    assert redact.is_secret("x", '{"token": "S3", "b": null}') and not redact.is_secret("x", "({})")


def test_entries_are_replaced_in_place() -> None:
    values = {
        "env": [{"name": "HF_TOKEN", "value": "S"}, {"key": "A", "value": "b"}, ["HF_TOKEN", "S3cret"], ("HF_TOKEN",
        "word")],
        "n": {"value": "x"}, "token": b"S", "password": 10**6, "count": 10**6, f"hf_{MIXED}": 1, 3: 4,
        "long": "x" * 300,
    }  # fmt: skip
    assert redact.mapping(values) == {
        "env": [{"name": "HF_TOKEN", "value": "***"}, {"key": "A", "value": "b"}, ["HF_TOKEN", "***"],
        ["HF_TOKEN", "word"]],
        "n": {"value": "x"}, "token": "***", "password": "***", "count": 10**6, "***": 1, 3: 4, "long": "x" * 300,
    }  # fmt: skip
    assert redact.certain({"command": "t --api_key S", "x": [{"hf_token": "S"}], "token": "S"}) == [
        "command",
        "x.hf_token",
    ]
    assert redact.doubtful({"token": "S", "hf_token": "S", "lr": 1}) == ["token"]


def test_recorded_words_show_where_something_was_replaced() -> None:
    words = [
        "t",
        "--hf_token",
        "***",
        "--api_key=***",
        "--x={'token': '***', 'a': 1}",
        "sh -c 'TOKEN=*** x'",
        "https://me:***@h",
    ]
    assert redact.with_places(words) == [
        "t", "--hf_token", "YOUR_TOKEN", "--api_key=YOUR_KEY", "--x={'token': 'YOUR_TOKEN', 'a': 1}",
        "sh -c 'TOKEN=YOUR_TOKEN x'", "https://me:YOUR_VALUE@h",
    ]  # fmt: skip
    assert redact.unrecorded(words) == ["hf_token", "api_key", "token", "TOKEN", ""]
    assert redact.with_places(["a/***/b", "--lr=1"]) == ["a/***/b", "--lr=1"] and redact.unrecorded(["--lr ***"]) == []
    assert redact.with_places(["sh -c 'x --hf_token *** b=1'", "--x=a --wandb_api_key ***"]) == [
        "sh -c 'x --hf_token YOUR_TOKEN b=1'", "--x=a --wandb_api_key YOUR_KEY",
    ]  # fmt: skip
    assert redact.unrecorded(["sh -c 'x --hf_token ***'"]) == ["hf_token"]
    assert redact.unrecorded(["***"]) == [""] and redact.unrecorded(["-u ***"]) == ["u"]


def test_known_values_are_replaced_as_words_and_long_ones_anywhere() -> None:
    known = redact.known_values(
        ["--api_key=abcd", "--hf_token", "abc", "--token=12345678"], {"HF_TOKEN": "none", "PASSWORD": "longer-one"}
    )
    assert known == ("longer-one", "abcd")
    assert redact.text("abcd xabcd abcdx -pabcd 'abcd' xlonger-oney", (), known) == "*** xabcd abcdx -p*** '***' x***y"


def test_values_agree_where_one_of_them_was_replaced() -> None:
    assert redact.agree([1, "***"], (1, 2)) and not redact.agree([1], [1, 2]) and not redact.agree([1], [True])
    assert redact.agree({"a": {"b": "***"}}, {"a": {"b": 1}}) and not redact.agree({"a": 1}, [1])


def test_forms_of_tokens_are_found_at_their_places() -> None:
    def found(text: str) -> list[str]:
        return [text[start:end] for start, end in secrets.shapes(text)]

    assert found(f"a hf_{MIXED} https://u:pw@h x") == [f"hf_{MIXED}", "pw"]
    assert found("https://u:none@h") == found("me:1234@h.org") == found(f"https://word@h {MIXED}") == []
    assert found("me:pw12@h.org") == ["pw12"] and found(f"https://{MIXED[:16]}@h") == [MIXED[:16]]
    assert found(f"https://{MIXED[:15]}@h") == [] and found(f"https://{'ab' * 16}@h") == ["ab" * 16]
    assert found(f"https://{'ab' * 15}a@h") == []
    assert found("Authorization: Bearer abcdef") == ["abcdef"] and found("x-api-key: none") == []
    assert token_forms.found("nothing", is_trivial, lambda value: True) == []
    assert may_hold("lösenord") and may_hold("MyKey") and not may_hold("lr 3 steps") and may_hold("a:b@c")
    assert secret_words._in_usual_letters("ａ\u200bb") == "ab"


def test_in_a_script_what_is_not_quoted_is_a_value_unless_the_shell_replaces_it() -> None:
    def found(text: str) -> list[tuple[int, str]]:
        return list(redact.certain_in_text(text, is_code=False))

    assert found("x=1\npassword=S3cret\n") == [(2, "password")] and found("password= S3cret") == []
    assert found("password=$2b$12x") == []
    assert list(redact.certain_in_text("password=S3cret")) == [] and found("# password: hunter2") == [(1, "password")]
