"""Which files never leave the machine: by the built-in list and by the user's globs, and what is left alone."""

from __future__ import annotations

import itertools
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codestral_ls.context.privacy import excluded, excluded_file

SECRET = [
    ".env", ".env.local", ".envrc", "prod.env", "src/.env.production",
    "server.pem", "a/b/server.key", "cert.p12", "cert.pfx", "cert.der", "ca.crt", "ca.cer", "mail.asc", "mail.gpg",
    "putty.ppk", "app.jks", "app.keystore", "passwords.kdbx",
    "id_rsa", "id_ed25519", "id_rsa.pub", "id_ecdsa.bak",
    "secrets.yaml", "client_secret.json", "MySecrets.cs",
    "credentials", "credentials.json", "google-credentials.json",
    ".netrc", "_netrc", ".pgpass", ".git-credentials", ".npmrc", ".pypirc", ".htpasswd",
    "main.tfstate", "main.tfstate.backup", "prod.tfvars",
    ".ssh/config", "/home/me/.ssh/known_hosts", ".aws/config", "/home/me/.aws/sso/cache/x.json",
    ".kube/config", ".docker/config.json", ".gnupg/trustdb", "/home/me/.config/gcloud/active_config",
    "C:\\Users\\me\\.ssh\\config", "C:/Users/me/AppData/Roaming/gcloud/access_tokens.db",
    ".ENV", "SERVER.PEM", ".SSH/config", "Credentials",
]  # fmt: skip

HARMLESS = [
    "main.py", "/home/me/project/src/main.py", "environment.py", "env.py", "src/env/main.py", "keyboard.ts", "key.py",
    "pem.py", "monkey.js", "certificates.py", "credentials_test_helper.py", "ssh/config.py", "aws/main.py",
    "gcloud/client.py", "docker/config.json", "kube.go", "id_generator.py", "grid_rsa.py", "npmrc.py", "netrc",
    "tfstate.go", "secret/main.py", "secrets/vault.py", "README", "", "/", "a.env.py", "C:\\work\\main.py",
]  # fmt: skip


@pytest.mark.parametrize("path", SECRET)
def test_files_that_hold_secrets_by_custom_stay(path: str) -> None:
    reason = excluded(path)
    assert reason is not None
    assert reason.startswith("the file is excluded by ")


@pytest.mark.parametrize("path", HARMLESS)
def test_other_files_may_go(path: str) -> None:
    assert excluded(path) is None


MATCHES = [
    # A name anywhere
    ("*.sql", "db/dump.sql"),
    ("dump.sql", "/a/b/dump.sql"),
    ("dump?.sql", "dump1.sql"),
    ("*dump*", "old-dump-2.txt"),
    ("**dump**", "old-dump-2.txt"),
    ("DUMP.sql", "dump.SQL"),
    ("[a].txt", "[a].txt"),
    ("a+b.txt", "a+b.txt"),
    ("*", "anything"),
    # A folder anywhere
    ("private/", "private/a.py"),
    ("private/", "src/private/deep/a.py"),
    ("priv*/", "private/a.py"),
    # A path
    ("src/gen/*.py", "src/gen/a.py"),
    ("src/gen/*.py", "/home/me/project/src/gen/a.py"),
    ("/src/gen/a.py", "src/gen/a.py"),
    ("src/**/a.py", "src/a.py"),
    ("src/**/a.py", "src/b/c/a.py"),
    ("src/**", "src/b/c/a.py"),
    ("**/a.py", "a.py"),
    ("**/gen/**", "src/gen/b/a.py"),
    ("src/gen/", "src/gen/b/a.py"),
    # As people write them
    ("./private/*", "private/a.py"),
    ("~/private/*", "/home/me/private/a.py"),
    ("src\\gen\\*.py", "src/gen/a.py"),
    ("C:/work/*.py", "C:\\work\\a.py"),
    ("größe.txt", unicodedata.normalize("NFD", "größe.txt")),
    ("a\nb", "a\nb"),
]

DOES_NOT_MATCH = [
    ("*.sql", "dump.sqlite"),
    ("dump?.sql", "dump.sql"),
    ("dump.sql", "dump.sql/readme"),
    ("private/", "private"),
    ("private/", "src/private.py"),
    ("src/*.py", "src/gen/a.py"),
    ("src/?.py", "src//.py"),
    ("src/gen/*.py", "asrc/gen/a.py"),
    ("src/**/a.py", "src/b/aa.py"),
    ("", "a.py"),
    ("/", "a.py"),
    ("//", "a.py"),
    (".", "a.py"),
    ("[ab].txt", "a.txt"),
    ("a.txt", "aXtxt"),
]


@pytest.mark.parametrize(("pattern", "path"), MATCHES)
def test_a_glob_of_the_user_excludes(pattern: str, path: str) -> None:
    assert excluded(path, [pattern]) == f"the file is excluded by {pattern}"


@pytest.mark.parametrize(("pattern", "path"), DOES_NOT_MATCH)
def test_a_glob_of_the_user_leaves_alone(pattern: str, path: str) -> None:
    assert excluded(path, [pattern]) is None


def test_globs_of_the_user_add_to_the_built_in_list_and_take_nothing_away() -> None:
    assert excluded(".env", ["*.sql", "!.env"]) is not None


def test_a_glob_made_to_take_for_ever_does_not() -> None:
    """A repository may add globs. As a regular expression, this one takes longer than the tests."""
    stars = "*a" * 30 + "b"
    assert excluded("a" * 250, [stars]) is None
    assert excluded("a/" * 60, ["/".join(["**/a"] * 30) + "/b"]) is None


@given(st.text("ab?*", max_size=8), st.text("ab", max_size=8))
def test_name_globs_match_as_their_definition_says(pattern: str, name: str) -> None:
    assert (excluded("x/" + name + "z", [pattern + "z"]) is not None) == _expanded(pattern + "z", name + "z")


@given(st.lists(st.sampled_from(["a", "b", "**"]), min_size=2, max_size=5), st.text("ab", min_size=1, max_size=5))
def test_path_globs_match_as_their_definition_says(pattern: list[str], names: str) -> None:
    expected = any(_folders_match(pattern, list(names[start:])) for start in range(len(names) + 1))
    assert (excluded("/".join(names), ["/".join(pattern)]) is not None) == expected


def _expanded(pattern: str, name: str) -> bool:
    if not pattern:
        return not name
    if pattern[0] == "*":
        return any(_expanded(pattern[1:], name[at:]) for at in range(len(name) + 1))
    return bool(name) and pattern[0] in ("?", name[0]) and _expanded(pattern[1:], name[1:])


def _folders_match(pattern: list[str], names: list[str]) -> bool:
    """By trying for each `**` every number of folders."""
    stars = pattern.count("**")
    for counts in itertools.product(range(len(names) + 1), repeat=stars):
        filled = iter(counts)
        expected: list[str | None] = []
        for part in pattern:
            expected += [None] * next(filled) if part == "**" else [part]
        if len(expected) == len(names) and all(
            part in (None, name) for part, name in zip(expected, names, strict=True)
        ):
            return True
    return False


@pytest.mark.parametrize(
    ("file", "root", "patterns", "stays"),
    [
        (".ssh/notes/a.py", ".ssh/notes", [], True),
        ("src/a.py", ".", [], False),
        ("src/a.py", ".", ["src/"], True),
        ("customers/app/a.py", "customers/app", ["customers/"], False),
        ("customers/app/customers/a.py", "customers/app", ["customers/"], True),
    ],
)
def test_built_in_patterns_see_the_whole_path_and_the_users_the_path_within_the_workspace(
    tmp_path: Path, file: str, root: str, patterns: list[str], stays: bool
) -> None:
    assert (excluded_file(tmp_path / file, [tmp_path / root], patterns) is not None) is stays


def test_a_link_to_a_secret_file_stays_too(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("KEY=1")
    (tmp_path / "settings.py").symlink_to(tmp_path / ".env")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert excluded_file(tmp_path / "settings.py", [tmp_path], []) is not None
    assert excluded_file(tmp_path / "loop", [tmp_path], []) is None
