"""Finding the API key: `find_key()` looks once, a `KeyRing` holds what was found and can look again.

Order, first hit wins: the setting `api_key` (user config, CODESTRAL_LS_API_KEY, editor; never the project file),
MISTRAL_API_KEY, CODESTRAL_API_KEY, `.env` at the workspace root, `.env` in the working folder, `api_key_command`,
the system keyring.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from codestral_ls.settings import files
from codestral_ls.settings.masking import mask
from codestral_ls.settings.model import Loaded, Problem

if TYPE_CHECKING:
    import subprocess

KEY_VARIABLES = ("MISTRAL_API_KEY", "CODESTRAL_API_KEY")
KEYRING_SERVICE = "codestral-ls"
KEYRING_USER = "api_key"

COMMAND_TIMEOUT_S = 10.0
_ENV_FILE_BYTES = 256_000
_COMMAND_OUTPUT_BYTES = 64_000
# Cloud gateways take signed tokens of one or two kilobytes as keys; the longest header most servers take is 8 KB.
_LONGEST_KEY = 8_000

_PLACEHOLDER = re.compile(
    r"""<.*> | \$.* | %\w+% | \{.*\} | [x*.…_-]+
      | (?:your|insert|enter|paste)[ _-].* | your.*key | (?:change|replace|fill)[ _-]?(?:me|this|with)\b.*
      | (?:mistral|codestral|the|my)?[ _-]?api[ _-]?key(?:[ _-]here)? | key | token | secret
      | none | null | nil | undefined | false | true | todo | tbd | placeholder""",
    re.IGNORECASE | re.VERBOSE,
)


@dataclass(frozen=True)
class Key:
    """An API key and, for people, where it was found. Neither repr nor str shows the value."""

    value: str = field(repr=False)
    source: str


@dataclass(frozen=True)
class KeySearch:
    """What a look-up gave: a key or none, and what was wrong with the sources on the way."""

    key: Key | None
    problems: tuple[Problem, ...] = ()


def find_key(
    loaded: Loaded,
    *,
    environment: Mapping[str, str],
    workspace_root: Path | None,
    cwd: Path | None,
    command_timeout_s: float = COMMAND_TIMEOUT_S,
) -> KeySearch:
    """Look in all sources, in the order above, until one has a key.

    May block for `command_timeout_s` seconds each in the command and in the keyring, so call it in a worker thread.
    Of a `.env` file only the two key names are read and nothing is put into the process's environment: such a file
    comes with a repository, and must be able to redirect nothing. Never raises for what it finds.
    """
    problems: list[Problem] = []
    for source, found in _candidates(loaded, environment, workspace_root, cwd, command_timeout_s):
        try:
            value = clean_key(found) if isinstance(found, str) else None
        except UnusableKey as error:
            found = error
        if isinstance(found, UnusableKey):
            problems.append(Problem("error", f"API key from {source}: {found}"))
        elif value:
            return KeySearch(Key(value, source), tuple(problems))
    return KeySearch(None, tuple(problems))


class KeyRing:
    """The key in use, read again on demand so that a rotated key needs no restart.

    `load` gives the settings afresh at each look-up, so that an edited config file counts.
    """

    def __init__(
        self,
        load: Callable[[], Loaded],
        *,
        environment: Mapping[str, str],
        workspace_root: Path | None,
        cwd: Path | None,
        command_timeout_s: float = COMMAND_TIMEOUT_S,
    ) -> None:
        self._load = load
        self._environment = environment
        self._workspace_root = workspace_root
        self._cwd = cwd
        self._command_timeout_s = command_timeout_s
        self._seen: tuple[str, ...] = ()
        self._last: KeySearch | None = None

    @property
    def key(self) -> Key | None:
        """The key of the last look-up; None before the first one."""
        return self._last.key if self._last else None

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What was wrong with the sources in the last look-up."""
        return self._last.problems if self._last else ()

    def reload(self) -> Key | None:
        """Look again in all sources. Blocks as `find_key` does."""
        found = find_key(
            self._load(),
            environment=self._environment,
            workspace_root=self._workspace_root,
            cwd=self._cwd,
            command_timeout_s=self._command_timeout_s,
        )
        if found.key and found.key.value not in self._seen:
            self._seen = (*self._seen, found.key.value)
        self._last = found
        return found.key

    def known(self) -> tuple[str, ...]:
        """Every key value seen so far. A rotated one may still stand in an answer that comes late: mask it too."""
        return self._seen

    def mask(self, text: str) -> str:
        return mask(text, self._seen)


class UnusableKey(Exception):
    """A source that should have given a key and did not. Its text never holds what the source did give."""


def clean_key(text: str) -> str | None:
    """The key without blanks, quotes and `Bearer ` round it; None for an empty text or a placeholder.

    Raises UnusableKey for what cannot stand in a header, where a line break would start another header.
    """
    key = text.strip().removeprefix("\ufeff").strip()
    key = re.sub(r"^bearer(\s+|$)", "", _unquoted(key), flags=re.IGNORECASE)
    key = _unquoted(key.strip())
    if not key or _PLACEHOLDER.fullmatch(key):
        return None
    if len(key.splitlines()) > 1:
        raise UnusableKey("it holds more than one line; give the key alone")
    if any(char.isspace() for char in key):
        raise UnusableKey("it holds a blank; give the key alone")
    if not (key.isascii() and key.isprintable()):
        raise UnusableKey("it holds a character that no key has; copy it again")
    if len(key) > _LONGEST_KEY:
        raise UnusableKey(f"it is longer than {_LONGEST_KEY} characters")
    return key


def _unquoted(text: str) -> str:
    quoted = len(text) >= 2 and text[0] == text[-1] and text[0] in "\"'`"
    return text[1:-1].strip() if quoted else text


def _candidates(
    loaded: Loaded,
    environment: Mapping[str, str],
    workspace_root: Path | None,
    cwd: Path | None,
    command_timeout_s: float,
) -> Iterator[tuple[str, str | UnusableKey | None]]:
    """Source and what it gave, one at a time: a source is asked only if those before it had no key."""
    yield loaded.sources.get("api_key", "api_key"), loaded.settings.api_key
    for name in KEY_VARIABLES:
        yield f"environment variable {name}", environment.get(name)
    for path in dict.fromkeys(folder / ".env" for folder in (workspace_root, cwd) if folder):
        try:
            table = _read_env_file(path)
        except files.Unreadable as error:
            yield str(path), UnusableKey(f"the file {error}")
            continue
        for name in KEY_VARIABLES:
            yield f"{name} in {path}", table.get(name)
    argv = loaded.settings.api_key_command
    if argv:
        source = f"api_key_command `{os.path.basename(argv[0])}`"
        try:
            yield source, _run(argv, environment, command_timeout_s)
        except UnusableKey as error:
            yield source, error
    yield "system keyring", _ask_keyring(command_timeout_s)


def _read_env_file(path: Path) -> Mapping[str, str | None]:
    if path.is_dir():
        # A virtual environment of that name; nobody meant it as a file of keys.
        return {}
    content = files.read_bytes(path, _ENV_FILE_BYTES)
    if content is None or not any(name.encode() in content for name in KEY_VARIABLES):
        return {}
    from io import StringIO

    from dotenv import dotenv_values

    text = content.decode("utf-8-sig", errors="replace")
    table = dotenv_values(stream=StringIO(text), interpolate=False)
    return {name: table.get(name) for name in KEY_VARIABLES}


def _run(argv: Sequence[str], environment: Mapping[str, str], timeout_s: float) -> str:
    """What the command prints. Raises UnusableKey, which tells how it failed but nothing that it printed."""
    import subprocess
    from threading import Thread
    from time import monotonic

    deadline = monotonic() + timeout_s
    # In the home folder: tool shims take their configuration from the working folder, often the repository.
    home = os.path.expanduser("~")
    try:
        process = subprocess.Popen(
            [_program(argv[0], environment), *argv[1:]],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=home if os.path.isdir(home) else None,
            env=dict(environment),
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or "not a usable command"
        raise UnusableKey(f"the command could not be started: {reason}") from None
    printed = bytearray()

    def collect() -> None:
        assert process.stdout
        with process.stdout as pipe:
            printed.extend(pipe.read(_COMMAND_OUTPUT_BYTES + 1))

    reader = Thread(target=collect, name="api_key_command", daemon=True)
    reader.start()
    try:
        reader.join(timeout_s)
        if len(printed) > _COMMAND_OUTPUT_BYTES:
            raise UnusableKey("the command printed far more than a key")
        try:
            status = process.wait(max(0.0, deadline - monotonic()))
        except subprocess.TimeoutExpired:
            raise UnusableKey(f"the command did not end within {timeout_s:g} seconds") from None
        if reader.is_alive():
            raise UnusableKey(f"the command left its output open for {timeout_s:g} seconds")
    finally:
        _kill(process)
        # Ends with the processes that held the pipe; one that left the group may keep it, and then it is left.
        reader.join(1)
    if status != 0:
        how = f"exit status {status}" if status > 0 else f"signal {-status}"
        raise UnusableKey(f"the command failed with {how}; run it in a terminal to see why")
    text = bytes(printed).decode("utf-8", errors="replace").strip()
    if not text:
        raise UnusableKey("the command printed nothing")
    return text


def _program(name: str, environment: Mapping[str, str]) -> str:
    """The full path of a command, never one out of the working folder, which is often the repository."""
    name = os.path.expanduser(name)
    if os.path.isabs(name):
        return name
    if os.path.basename(name) != name:
        raise UnusableKey("the command is a relative path; give the full path, or a name to look up in PATH")
    from shutil import which

    folders = environment.get("PATH", os.defpath).split(os.pathsep)
    found = which(name, path=os.pathsep.join(folder for folder in folders if os.path.isabs(folder)))
    # On Windows `which` looks in the working folder before PATH, and then gives a relative path.
    if not found or not os.path.isabs(found):
        raise UnusableKey("the command was not found in PATH")
    return found


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End the command and what it started: a shell's children would else hold the pipe open."""
    if hasattr(os, "killpg"):
        from signal import SIGKILL

        # The group may be gone already.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, SIGKILL)
    else:
        process.kill()
    process.wait()


def _ask_keyring(timeout_s: float) -> str | None:
    """None if the package is not there or for whatever reason has no answer: it is the last resort, not asked for."""
    from threading import Thread

    answers: list[object] = []

    def ask() -> None:
        # Each backend raises its own exceptions, and a locked or absent key store is no fault of the user's.
        with suppress(Exception):
            keyring = import_module("keyring")
            answers.append(keyring.get_password(KEYRING_SERVICE, KEYRING_USER))

    # A desktop may show a dialogue and wait; a daemon thread lets the server end meanwhile.
    asking = Thread(target=ask, name="keyring", daemon=True)
    asking.start()
    asking.join(timeout_s)
    return answers[0] if answers and isinstance(answers[0], str) else None
