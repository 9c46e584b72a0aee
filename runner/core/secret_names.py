"""What the name of a setting says of its value: that it is a secret, that it may be one, or nothing."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from itertools import pairwise
from typing import Literal

#: `clear`: a secret. `bare`: `token` alone, or a name within a section of secrets. `short`: `pass` and its like.
#: `strong`, `weak`: a secret if the value looks like one. `ordinary`: an identifier.
Kind = Literal["clear", "bare", "short", "strong", "weak", "neutral", "ordinary"]

#: Names that end so are those of secrets.
_CLEAR = frozenset((
    "password", "passwords", "passwd", "passphrase", "passphrases", "passcode", "passcodes", "passkey", "pwd", "pswd",
    "psswd", "pword", "secret", "secrets", "credential", "credentials", "creds", "bearer", "authorization", "passwort",
    "kennwort", "contrasena", "contraseña", "senha", "motdepasse", "wachtwoord", "lösenord", "parola",
))  # fmt: skip
_CLEAR_ENDS = ("password", "passwd", "passphrase", "apikey", "apikeys", "secret", "passwort")
#: Before `key` or `token` at the end of a name: together they are the name of a secret.
_SERVICES = frozenset((
    "hf", "huggingface", "hub", "wandb", "github", "gh", "gitlab", "slack", "discord", "telegram", "bot", "openai",
    "anthropic", "claude", "cohere", "mistral", "groq", "replicate", "comet", "neptune", "mlflow", "clearml",
    "dagshub", "kaggle", "azure", "aws", "gcp", "google", "gemini", "stripe", "npm", "pypi", "docker", "dockerhub",
    "langsmith", "langchain", "pinecone", "sentry", "datadog", "dd", "twilio", "sendgrid", "mailgun", "runpod",
    "deepseek", "xai", "grok", "tavily", "serper", "serpapi", "voyage", "jina", "qdrant", "weaviate", "supabase",
    "firebase", "notion", "jira", "atlassian", "bitbucket", "circleci", "codecov", "vercel", "netlify", "heroku",
    "digitalocean", "cloudflare", "linode", "hetzner", "civitai", "roboflow", "labelbox", "ngc", "ngrok",
    "tailscale", "pagerduty", "newrelic", "grafana", "posthog", "twitter", "facebook", "spotify", "airtable",
    "figma", "dropbox", "zenodo", "perplexity", "togetherai", "elevenlabs", "assemblyai", "deepgram", "databricks",
    "snowflake", "modelscope", "openrouter",
))  # fmt: skip
_OF_KEYS = frozenset((
    "api", "apis", "access", "secret", "private", "signing", "encryption", "decryption", "ssh", "account", "master",
    "subscription", "consumer", "hmac", "gpg", "pgp", "rsa", "auth", "shared", "jwt",
))  # fmt: skip
_OF_TOKENS = frozenset((
    "api", "access", "auth", "authorization", "refresh", "bearer", "session", "login", "personal", "oauth", "jwt",
    "csrf", "xsrf", "deploy", "registry", "sas", "security", "secret", "private", "vault", "service", "account", "mfa",
    "ci", "webhook",
))  # fmt: skip
#: Before `pass` at the end of a name, and after a word for a secret.
_LOGINS = frozenset((
    "db", "database", "user", "admin", "root", "login", "smtp", "ftp", "ssh", "sudo", "sql", "mysql", "pg", "postgres",
    "redis", "mongo", "http", "proxy", "mail", "email", "imap", "ldap", "sshpass", "rabbitmq", "jenkins", "host",
    "vault",
))  # fmt: skip
_SHORT = frozenset(("pass", "pw", "psw", "passw", "mdp", "otp"))
#: Words by which a name may be that of a secret, wherever they stand in it.
_STRONG = frozenset(("password", "passwords", "passwd", "passphrase", "pwd", "secret", "secrets", "credential",
                     "credentials", "apikey", "auth", "authorization", "bearer", "jwt", "oauth"))  # fmt: skip
_WEAK = frozenset(("key", "keys", "token", "tokens", "cookie", "cookies", "session", "sig", "signature", "pat", "pass",
                   "license", "webhook", "dsn", "sas", "private", "wandb", "salt", "otp"))  # fmt: skip
#: A name that ends so says something about a secret, or about something else.
_DESCRIBES = frozenset((
    "field", "fields", "path", "paths", "file", "files", "filename", "dir", "folder", "name", "names", "env", "envvar",
    "var", "variable", "len", "length", "size", "min", "max", "type", "kind", "index", "idx", "count", "limit", "num",
    "column", "columns", "url", "uri", "endpoint", "header", "prefix", "suffix", "pattern", "regex", "prompt", "policy",
    "required", "enabled", "ttl", "timeout", "model", "dim", "ratio", "rate", "weight", "loss", "dropout", "mode",
    "scope", "provider", "backend", "manager", "store", "entity", "project", "group", "notes", "tags", "template",
))  # fmt: skip
#: Within a section of secrets: what is told of them.
_OPEN = frozenset((
    "user", "username", "users", "host", "hostname", "port", "email", "region", "login", "scheme",
    "date", "created", "expires", "note", "description", "label", "owner", "title", "source", "format", "engine",
    "service", "method", "location", "mount", "comment", "status", "level", "algorithm", "namespace", "lr",
))  # fmt: skip
_IDENTIFIES = frozenset(("id", "ids", "hash", "digest", "sha", "md", "commit", "revision", "rev",
                         "checksum", "fingerprint", "uuid", "guid", "etag", "version", "seed"))  # fmt: skip
#: At the end of a name they change nothing.
_ENDINGS = frozenset((
    "value", "values", "str", "string", "old", "new", "prod", "production", "dev", "staging", "default", "b", "base",
    "encoded", "raw", "plain", "plaintext", "read", "write", "primary", "secondary", "live", "test", "backup",
    "current", "v",
))  # fmt: skip


@lru_cache(1024)
def kind(name: str) -> Kind:
    """What a name says of its value; of a name with dots, the last part counts most."""
    if not name.isascii():
        name = unicodedata.normalize("NFKC", name)  # full-width letters
    parts = [words for part in re.split(r"[./\[\]:@'\"]+", name) if (words := _words(part))]
    while len(parts) > 1 and all(word in _ENDINGS for word in parts[-1]):
        parts.pop()
    if not parts:
        return "neutral"
    own = _own_kind(parts)
    if own in ("neutral", "weak", "strong") and any(_own_kind(parts[:end]) == "clear" for end in range(1, len(parts))):
        return own if parts[-1][-1] in _DESCRIBES | _OPEN else "bare"
    return own


def _own_kind(parts: list[list[str]]) -> Kind:
    last, every = parts[-1], {word for words in parts for word in words}
    while len(last) > 1 and last[-1] in _ENDINGS:
        last = last[:-1]
    end, before = last[-1], last[-2] if len(last) > 1 else parts[-2][-1] if len(parts) > 1 else ""
    if end in _CLEAR or end.endswith(_CLEAR_ENDS) or _are_of_a_secret(before, end) or _is_turned_around(last):
        return "clear"
    joined = [word for word in ("key", "keys", "token", "tokens", "pass") if end.endswith(word)]
    if any(_are_of_a_secret(end.removesuffix(word), word) for word in joined):  # hftoken, accesskey
        return "clear"
    if last == ["token"]:
        return "bare"
    if end in _SHORT and len(last) == 1:
        return "short"
    if end in _IDENTIFIES:
        return "ordinary"
    if end in _DESCRIBES:
        return "neutral"
    if every & _STRONG or any(pair in (("api", "key"), ("access", "key")) for pair in pairwise(last)):
        return "strong"
    return "weak" if every & _WEAK or end.endswith("token") else "neutral"


def _are_of_a_secret(before: str, end: str) -> bool:
    """`api` `key`, `hf` `token`, `db` `pass`."""
    if end in ("key", "keys"):
        return before in _SERVICES or before in _OF_KEYS
    if end == "token":
        return before in _SERVICES or before in _OF_TOKENS
    if end == "tokens":
        return before in _OF_TOKENS
    if end == "pat":
        return before in _SERVICES
    return end in ("pass", "pw", "pwd") and before in _LOGINS


def _is_turned_around(words: list[str]) -> bool:
    """`token_hf`, `password_db`."""
    first, *rest = words
    if not rest or first not in ("token", "key", "password", "passwd", "pwd", "secret", "apikey"):
        return False
    return all(word in _SERVICES or (word in _LOGINS and first not in ("token", "key")) for word in rest)


def _words(part: str) -> list[str]:
    """`WANDB_API_KEY`, `wandbApiKey`, `+wandb-api-key2`: wandb, api, key."""
    pattern = r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+" if part.isascii() else r"[^\W_]+"
    words = re.findall(pattern, part)
    return [word.lower() for word in words if not word.isdigit()]
