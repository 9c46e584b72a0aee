"""The canonical form of a resolved config, and its fingerprint. Knows nothing of files."""

import hashlib
import json
from typing import Any


def canonical(config: Any) -> str:
    """One text for equal configs: keys sorted, floats by repr, and 1, 1.0 and True told apart."""
    return json.dumps(config, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)


def fingerprint(config: Any) -> str:
    """Sixteen hexadecimal digits of the SHA-256 of the canonical form."""
    return hashlib.sha256(canonical(config).encode(errors="surrogatepass")).hexdigest()[:16]
