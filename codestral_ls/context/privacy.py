"""Which files never leave the machine. One rule in front of every byte that goes out."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

SECRET_FILES = (
    ".env*", "*.env", "*.pem", "*.key", "*.p12", "*.pfx", "*.pkcs12", "*.p8", "*.ppk", "*.der", "*.crt", "*.cer",
    "*.asc", "*.gpg", "*.jks", "*.keystore", "*.kdbx", "*.kdb", "*.agilekeychain", "*.keychain",
    "id_rsa*", "id_dsa*", "id_ecdsa*", "id_ed25519*",
    "*secret*", "credentials", "credentials.*", "*credentials.json", ".netrc", "_netrc", ".pgpass", ".my.cnf",
    ".git-credentials", ".vault-token", ".s3cfg", ".boto", ".dockercfg",
    ".npmrc", ".pypirc", ".htpasswd", "*.tfstate", "*.tfstate.*", "*.tfvars",
    ".ssh/", ".gnupg/", ".aws/", ".azure/", ".kube/", ".docker/", ".config/gcloud/", "AppData/Roaming/gcloud/",
    ".password-store/",
)  # fmt: skip
"""Globs of files and (with a final slash) folders that hold keys, certificates or credentials by custom."""


def excluded_file(path: Path, roots: Iterable[Path], patterns: Iterable[str]) -> str | None:
    """Why a file of a workspace never leaves the machine; None if it may.

    The built-in patterns are held against the whole path, as it is named and where its links lead, so that a
    workspace inside `~/.ssh` is no way round them; the user's `patterns` against the path within its root, so that
    `customers/` says nothing about a home of that name. Looks at the file system for links.
    """
    named = path.as_posix()
    try:
        led = path.resolve().as_posix()
    except (OSError, RuntimeError):
        led = named  # a loop of links, or a drive that is gone: there is only the name to judge by
    for whole in dict.fromkeys((named, led)):
        if (why := excluded(whole)) is not None:
            return why
    inside = [path.relative_to(root).as_posix() for root in roots if path.is_relative_to(root)]
    return excluded(min(inside, key=len, default=named), patterns)


def excluded(path: str, patterns: Iterable[str] = ()) -> str | None:
    """Why the file at `path` (absolute, or relative to the workspace) never leaves the machine; None if it may.

    A pattern without a slash matches a file's name in any folder, one that ends in a slash a folder anywhere; any
    other is matched against the end of the path, from a folder on. `*` and `?` stay within a name, `**` as a name
    stands for any folders. Letter case does not count, backslashes are slashes, and `./` or `~/` at the start of a
    pattern says nothing. Costs the length of the path times that of the patterns, whatever is in them.
    """
    parts = _parts(path)
    for pattern in (*SECRET_FILES, *patterns):
        if _matches(parts, pattern):
            return f"the file is excluded by {pattern}"
    return None


def _matches(parts: Sequence[str], pattern: str) -> bool:
    wanted = _parts(pattern.removeprefix("~"))
    if not wanted or not parts:
        return False
    folder = pattern.endswith(("/", "\\"))
    if len(wanted) == 1:
        return any(_name_matches(part, wanted[0]) for part in (parts[:-1] if folder else parts[-1:]))
    return _glob(parts, ["**", *wanted, *(["**"] if folder else [])], "**", _name_matches)


def _name_matches(name: str, pattern: str) -> bool:
    return _glob(name, pattern, "*", lambda character, wanted: wanted in ("?", character))


def _glob(items: Sequence[str], pattern: Sequence[str], star: str, same: Callable[[str, str], bool]) -> bool:
    """Whether `pattern` fits all of `items`, where `star` stands for any number of them.

    Only the last star is ever tried again: what an earlier one could take more, the last can take, too.
    """
    item = at = tried = 0
    last_star = -1
    while item < len(items):
        if at < len(pattern) and pattern[at] == star:
            last_star, tried = at, item
            at += 1
        elif at < len(pattern) and same(items[item], pattern[at]):
            item += 1
            at += 1
        elif last_star >= 0:
            tried += 1
            item, at = tried, last_star + 1
        else:
            return False
    return all(rest == star for rest in pattern[at:])


def _parts(path: str) -> list[str]:
    comparable = unicodedata.normalize("NFC", path).casefold().replace("\\", "/")
    return [part for part in comparable.split("/") if part not in ("", ".")]
