"""Columns: how many code units text takes in the encodings that LSP counts in, and the way back."""

from __future__ import annotations

import re
from enum import Enum


class PositionEncoding(str, Enum):
    """What one step of a column is; the values are LSP's `PositionEncodingKind`."""

    UTF8 = "utf-8"
    """Bytes."""
    UTF16 = "utf-16"
    """16-bit units: an astral character is two. LSP's default."""
    UTF32 = "utf-32"
    """Characters (code points)."""


_ASTRAL = re.compile("[\U00010000-\U0010ffff]")


def units(text: str, encoding: PositionEncoding) -> int:
    """The length of `text` in code units of `encoding`.

    A lone surrogate is one character of one UTF-16 unit and, as in WTF-8, three bytes.
    """
    if encoding is PositionEncoding.UTF32 or text.isascii():
        return len(text)
    if encoding is PositionEncoding.UTF16:
        return len(text.encode("utf-16-le", "surrogatepass")) // 2
    return len(text.encode("utf-8", "surrogatepass"))


def index_at(text: str, units: int, encoding: PositionEncoding) -> int:
    """The number of characters that lie wholly within the first `units` code units of `text`.

    So a place inside a character is clamped down to that character's start; below zero to 0, past the end to the
    length of `text`. Costs `units`, not the length of `text`.
    """
    if units <= 0:
        return 0
    head = text[:units]  # No character takes less than one unit.
    if encoding is PositionEncoding.UTF32 or head.isascii():
        return len(head)
    if encoding is PositionEncoding.UTF16:
        return _index_in_utf16(head, units)
    data = head.encode("utf-8", "surrogatepass")
    cut = min(units, len(data))
    while cut < len(data) and data[cut] & 0xC0 == 0x80:  # A continuation byte: the cut is inside a character.
        cut -= 1
    return len(data[:cut].decode("utf-8", "surrogatepass"))


def _index_in_utf16(text: str, units: int) -> int:
    index = units
    for astral in _ASTRAL.finditer(text):
        if astral.start() >= index:
            break
        index -= 1  # Its second unit; when that one is past the cut, the index falls back to the character's start.
    return min(index, len(text))
