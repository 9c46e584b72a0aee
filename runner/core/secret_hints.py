"""Rule out quickly that a text holds a secret: most texts hold none. Finds and replaces nothing."""

from __future__ import annotations

import re
from functools import lru_cache

#: Parts of names, of tokens and of addresses, in small letters. Each is looked for by itself: one pattern of them all
#: takes twenty times as long.
_PARTS = (
    "key", "token", "secret", "pass", "pwd", "psw", "pword", "credential", "auth", "bearer", "cookie", "session",
    "signature", "license", "webhook", "dsn", "private", "wandb", "salt", "otp", "mdp", "kennwort", "contrase", "senha",
    "motdepasse", "wachtwoord", "parola", "hf_", "api_org", "sk-", "k_live", "k_test", "github_", "glpat", "akia",
    "asia", "xox", "xapp", "aiza", "ya29", "gocspx", "npm_", "pypi-", "dckr", "local-", "eyj", "r8_", "gsk_", "sg.",
    "jwt", "://", "--user", "dapi", "lsv2", "ls__", "pcsk_", "nvapi", "xai-", "pplx-", "tvly-", "tgp_", "fw_", "sntry",
    "sq0", "shp", "figd_", "atatt", "lin_api", "ntn_", "rpa_", "hvs.", "sbp_", "nrak", "glsa_", "dp.", "vercel_",
    "kgat_", ":aa", "eaa", "1//0", "redis-cli", "mysql", "login",
)  # fmt: skip


#: A part that is looked for first, "" where there is none, and a form of small letters that holds it.
_FORMS = (
    ("pw", r"\bpw"), ("sig", r"\bsig"), ("pat", r"\bpat\b"), ("creds", r"creds\b"), ("sas", r"sas\b"), ("-u", r"-u\b"),
    ("_", r"gh[opusr]_|do[opr]_v|ph[cx]_"), ("-", r"gl[a-z]{2,4}-"), ("@", r":[^\s:]+@"),
    ("", r"[mno][\w-]{23}"), ("", r"[a-z0-9+/=_-]{32}"),
)  # fmt: skip


def may_hold(text: str) -> bool:
    """False if there can be no secret in this text."""
    if not text.isascii():  # letters of other alphabets, and names such as `lösenord`
        return True
    small = text.lower()
    return any(part in small for part in _PARTS) or any(part in small and form.search(small) for part, form in _forms())


@lru_cache(1)
def _forms() -> list[tuple[str, re.Pattern[str]]]:
    """Compiled when they are first needed: every command imports this module."""
    return [(part, re.compile(form)) for part, form in _FORMS]
