"""Reading the files that a user or a repository wrote: bounded, and with one sentence for whatever is wrong."""

from __future__ import annotations

import os
import re
import stat
import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

MAX_BYTES = 1_000_000
_BOM = b"\xef\xbb\xbf"

# tomllib's memory grows with the square of the parts of a dotted key: 200,000 parts, 400 KB of file, end the
# process. Looked for everywhere, also in strings and comments: telling those apart is the parser's own work, and a
# check that can be led astray is none.
_MAX_KEY_PARTS = 32
_LONG_KEY = re.compile(rf"""(?:\.(?:[A-Za-z0-9_-]+|"(?:[^"\\\n]|\\.)*"|'[^'\n]*')){{{_MAX_KEY_PARTS}}}""")
_PLACE = re.compile(r"\s*\(at (?:line (\d+), column (\d+)|end of document)\)$")


class Unreadable(Exception):
    """A file that cannot be used. Its text completes "<file> …"."""


def read_bytes(path: Path, limit: int = MAX_BYTES) -> bytes | None:
    """The file's content, or None if there is no such file. Raises Unreadable.

    A repository can put a link to a pipe or a device where the file should be, so neither the opening nor the
    reading may wait.
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
    try:
        if path.is_dir():
            raise Unreadable("is a directory, not a file")
        descriptor = os.open(path, flags)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise Unreadable(f"cannot be read: {_reason(error)}") from None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise Unreadable("is not a regular file")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            content = file.read(limit + 1)
    except OSError as error:
        raise Unreadable(f"cannot be read: {_reason(error)}") from None
    finally:
        os.close(descriptor)
    if len(content) > limit:
        raise Unreadable(f"is larger than {limit:,} bytes")
    return content


def read_toml(path: Path) -> tuple[Mapping[Any, Any], str | None]:
    """The file as a table (empty if there is no such file), and a remark if there is one. Raises Unreadable."""
    content = read_bytes(path)
    if content is None:
        return {}, None
    remark = None
    if content.startswith(_BOM):
        content, remark = content[len(_BOM) :], "starts with a byte order mark, which TOML does not allow; remove it"
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise Unreadable(f"is not UTF-8 (line {line}); save it as UTF-8") from None
    return parse_toml(text), remark


def parse_toml(text: str) -> Mapping[Any, Any]:
    """Raises Unreadable, with line and column (from 1) of a syntax error. The text itself is not repeated."""
    if _LONG_KEY.search(text.replace(" ", "").replace("\t", "")):
        raise Unreadable(f"holds a name of more than {_MAX_KEY_PARTS} parts joined by dots")
    toml = import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    try:
        table: Mapping[Any, Any] = toml.loads(text)
    except RecursionError:
        raise Unreadable("is nested too deeply") from None
    except ValueError as error:
        raise Unreadable(_syntax_error(text, error)) from None
    return table


def _syntax_error(text: str, error: ValueError) -> str:
    message = str(error)
    place = _PLACE.search(message)
    if place is None:
        return "holds a number that is too long"
    if place[1]:
        line, column = int(place[1]), int(place[2])
    else:
        lines = text.rstrip().split("\n")
        line, column = len(lines), len(lines[-1]) + 1
    return f"is not valid TOML at line {line}, column {column}: {message[: place.start()][:100]}"


def _reason(error: Exception) -> str:
    return (isinstance(error, OSError) and error.strerror) or "not a usable path"
