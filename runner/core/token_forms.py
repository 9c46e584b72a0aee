"""Find secrets by their form alone: tokens of known services, passwords in addresses, headers that authorize.

Knows nothing of the names of settings.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import lru_cache

Span = tuple[int, int]
Judge = Callable[[str], bool]


def found(text: str, is_trivial: Judge, looks_random: Judge) -> list[Span]:
    """Where they are in a text: start and end of each, in their order, none within another."""
    spans: list[Span] = []
    if _hint().search(text):
        for start, end in sorted(_found(text, is_trivial, looks_random)):
            if not spans or start >= spans[-1][1]:
                spans.append((start, end))
    return spans


def _found(text: str, is_trivial: Judge, looks_random: Judge) -> Iterator[Span]:
    for match in _tokens().finditer(text):
        yield match.span()
    for match in _logins().finditer(text):
        if not is_trivial(match["password"]):
            yield match.span("password")
    for match in _bare_logins().finditer(text):
        if not is_trivial(match["password"]) and re.search(r"[A-Za-z]", match["password"]):
            yield match.span("password")
    for match in _users().finditer(text):
        if looks_random(match[1]) or re.fullmatch(r"[0-9a-f]{32,}", match[1]):
            yield match.span(1)
    for pattern in (_headers(), _bearers(), _in_requests()):
        for match in pattern.finditer(text):
            if not is_trivial(match["secret"]):
                yield match.span("secret")


# Compiled when they are first needed: every command imports this module.


@lru_cache(1)
def _hint() -> re.Pattern[str]:
    """A text without any of these holds no secret of a known form: quicker than a look for each."""
    return re.compile(
        r"hf_|api_org_|sk-|[rs]k_|gh[opusr]_|github_pat|gl[a-z]{2,4}-|AKIA|ASIA|xox|xapp|AIza|ya29|GOCSPX|1//0|npm_|pypi-"
        r"|dckr|wandb_v|local-|eyJ|r8_|gsk_|SG\.|do[opr]_v|PRIVATE KEY|hooks\.|webhook|://|@|dapi|lsv2|ls__|pcsk_|nvapi-"
        r"|xai-|pplx-|tvly-|tgp_|fw_|sntry|ph[cx]_|whsec_|sq0|shp|figd_|ATATT|lin_api|ntn_|rpa_|hvs\.|sbp_|key-|NRAK|glsa_"
        r"|AGE-SECRET|dp\.|EAA|AA[A-Za-z]|vercel_|KGAT_|password"
        r"|(?i:bearer|authorization|-key|-token|apikey|cookie|signature|sig=|credential)"
    )


@lru_cache(1)
def _tokens() -> re.Pattern[str]:
    return re.compile(
        r"(?<![A-Za-z0-9])(?:"
        r"hf_[A-Za-z0-9]{20,}|api_org_[A-Za-z0-9]{20,}|sk-(?=[\w-]*\d)(?=[\w-]*[A-Za-z0-9]{16})[\w-]{20,}"
        r"|[rs]k_(?:live|test)_[A-Za-z0-9]{16,}|gh[opusr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}"
        r"|gl(?:pat|dt|rt|ft|soat|cbt|agent|imt|ptt)-[\w-]{18,}|glsa_[A-Za-z0-9]{30,}\w*"
        r"|(?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Za-z0-9])|xox[a-z]-[\w-]{10,}|xapp-\d-[\w-]{10,}|AIza[\w-]{35}|ya29\.[\w-]{20,}"
        r"|GOCSPX-[\w-]{20,}|1//0[\w-]{30,}|npm_[A-Za-z0-9]{30,}|pypi-[\w-]{40,}|dckr_(?:pat|oat)_[\w-]{20,}"
        r"|wandb_v\d+_\w{20,}|local-[0-9a-f]{40}(?![0-9a-f])|r8_[A-Za-z0-9]{30,}|gsk_[A-Za-z0-9]{40,}"
        r"|SG\.[\w-]{16,}\.[\w-]{16,}|do[opr]_v1_[0-9a-f]{40,}|eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*|dapi[0-9a-f]{32}"
        r"|lsv2_[a-z]{2}_[0-9a-f]{30,}\w*|ls__[0-9a-f]{30,}|pcsk_\w{40,}|nvapi-[\w-]{40,}|xai-[A-Za-z0-9]{40,}"
        r"|pplx-[A-Za-z0-9]{30,}|tvly-(?:dev-)?[A-Za-z0-9]{20,}|tgp_v1_[\w-]{30,}|fw_[A-Za-z0-9]{22,}"
        r"|sntry[su]_[\w+/=-]{30,}|ph[cx]_[A-Za-z0-9]{30,}|whsec_[\w+/=]{20,}|sq0[a-z]{3}-[\w-]{20,}"
        r"|shp(?:at|ca|pa|ss)_[0-9a-fA-F]{30,}|figd_[\w-]{30,}|ATATT3x[\w=-]{20,}|lin_api_[A-Za-z0-9]{30,}"
        r"|ntn_[A-Za-z0-9]{30,}|rpa_[A-Z0-9]{30,}\w*|hvs\.[\w-]{20,}|sbp_[0-9a-f]{40}|key-[0-9a-f]{32}|NRAK-[A-Z0-9]{20,}"
        r"|AGE-SECRET-KEY-1[A-Z0-9]{20,}|dp\.(?:pt|st|ct)\.[\w.]{30,}|EAA[A-Za-z0-9]{60,}|vercel_[A-Za-z0-9]{20,}"
        r"|KGAT_[0-9a-f]{30,}|\d{8,10}:AA[\w-]{32,34}|[MNO][\w-]{23,25}\.[\w-]{6}\.[\w-]{27,40}"
        r"|hooks\.slack\.com/(?:services|workflows)/[\w/]{20,}|discord(?:app)?\.com/api/webhooks/[\w/-]{20,}"
        r"|[\w-]+\.webhook\.office\.com/webhookb2/[\w@/-]{20,}|api\.telegram\.org/bot[\w:-]{20,}"
        r")|-----BEGIN [A-Z0-9 ]*PRIVATE KEY[A-Z ]*-----(?:.*?-----END [A-Z0-9 ]*-----|.*)",
        re.DOTALL,
    )


@lru_cache(1)
def _logins() -> re.Pattern[str]:
    """`https://user:password@host`; a password may hold @ and / only where no host could end before them."""
    return re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,20}://[^\s/:@'\"]*:(?P<password>[^\s/'\"]+)@")


@lru_cache(1)
def _bare_logins() -> re.Pattern[str]:
    """`user:password@host:5432`, `user:password@tcp(host)/db`, `user:password@db.host.org`."""
    return re.compile(
        r"(?<![\w/:.@-])(?!(?:mailto|sip|sips|xmpp|acct|git|image|docker)\b)[A-Za-z][\w.-]{0,40}"
        r":(?P<password>[^\s:@/'\",;{}\[\]<>|]{3,})@(?!sha\d)(?:[\w-]+(?:\.[\w-]+)+|localhost|[\w-]+(?=:\d|/|\())"
    )


@lru_cache(1)
def _users() -> re.Pattern[str]:
    return re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,20}://([^\s/:@'\"]+)@")


@lru_cache(1)
def _headers() -> re.Pattern[str]:
    """`Authorization: Bearer S`, `X-Api-Key: S`, `Cookie: session=S`."""
    return re.compile(
        r"(?:(?i:authorization)\\*[\"']?\s*[:=]\s*\\*[\"']?(?!\w+\s*(?:required|failed|error|denied))"
        r"(?:[A-Za-z][\w-]{2,}\s+(?=[^\s'\"]))?"
        r"|(?<![\w-])(?i:x-[\w-]{0,40}(?:key|token|secret)|(?:private|job|deploy)-token|[a-z]{1,20}-api-key|(?:set-)?cookie"
        r"|ocp-apim-subscription-key)\s*:\s*)(?P<secret>[^\s'\"\\]{3,}(?:(?<=[,;])\s*[^\s'\"\\]+)*)"
    )


@lru_cache(1)
def _bearers() -> re.Pattern[str]:
    return re.compile(r"(?i:bearer)\s+(?P<secret>(?=[^\s'\"]*\d)[\w.~+/=-]{8,}|[\w.~+/=-]{20,})")


@lru_cache(1)
def _in_requests() -> re.Pattern[str]:
    """Signatures in presigned addresses, the password in a .netrc."""
    return re.compile(
        r"(?:(?i:x-(?:amz|goog)-(?:signature|credential|security-token)|[?&]sig)="
        r"|\blogin\s+\S+\s+password\s+)(?P<secret>[^\s&'\"]{3,})"
    )
