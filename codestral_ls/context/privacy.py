"""Which files never leave the machine. One rule in front of every byte that goes out."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from pathlib import PurePath

SECRET_FILES = (
    ".env*", "*.pem", "*.key", "*.p12", "*.pfx", "*.p8", "*.der", "*.crt", "*.cer", "*.asc", "*.gpg",
    "*.jks", "*.keystore", "*.kdbx", "*.kdb", "*.agilekeychain", "*.keychain",
    "id_rsa*", "id_dsa*", "id_ecdsa*", "id_ed25519*",
    "*secret*", "credentials", "credentials.*", ".netrc", "_netrc", ".pgpass", ".my.cnf", ".git-credentials",
    ".npmrc", ".pypirc", ".htpasswd", "*.tfstate", "*.tfvars",
    ".ssh/", ".gnupg/", ".aws/", ".azure/", ".kube/", ".docker/", "gcloud/", ".password-store/",
)  # fmt: skip
"""Globs of files and (with a final slash) folders that hold keys, certificates or credentials by custom."""


def excluded(path: str, patterns: Iterable[str] = ()) -> str | None:
    """Why the file at `path` (absolute, or relative to the workspace) never leaves the machine; None if it may.

    A pattern without a slash matches a name anywhere in the path, one that ends in a slash a folder anywhere; any
    other is matched against the end of the path, from a folder on. `*` and `?` stay within a name, `**` does not.
    Letter case does not count.
    """
    parts = PurePath(path.replace("\\", "/")).parts
    for pattern in (*SECRET_FILES, *patterns):
        if _matches(parts, pattern):
            return f"the file is excluded by {pattern}"
    return None


def _matches(parts: tuple[str, ...], pattern: str) -> bool:
    if not pattern.strip("/"):
        return False
    if pattern.endswith("/") and "/" not in pattern[:-1]:
        return any(_glob(pattern[:-1]).fullmatch(part) for part in parts[:-1])
    if "/" not in pattern:
        return any(_glob(pattern).fullmatch(part) for part in parts[-1:])
    if pattern.endswith("/"):
        pattern += "**"
    whole = _glob(pattern.lstrip("/"))
    return any(whole.fullmatch("/".join(parts[start:])) for start in range(len(parts)))


@lru_cache(maxsize=1024)
def _glob(pattern: str) -> re.Pattern[str]:
    translated = re.sub(
        r"\*\*/?|\*|\?|[^*?]+",
        lambda match: {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}.get(match[0]) or re.escape(match[0]),
        pattern,
    )
    return re.compile(translated, re.IGNORECASE | re.DOTALL)
