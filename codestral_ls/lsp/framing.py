"""Cuts a byte stream into LSP messages: `Content-Length` headers and bodies. No I/O; may be fed in any pieces.

A broken header must not end the server: what cannot be read is skipped up to the next header, and reported.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_HEADER_BYTES = 8192
MAX_BODY_BYTES = 1 << 30
"""A message of more than 1 GB is a broken length; waiting for its body would mean silence for ever."""

_HEADER_START = re.compile(rb"content-length\s*:", re.IGNORECASE)
_LENGTH = re.compile(rb"^content-length[ \t]*:[ \t]*(\d{1,10})[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)
_HEADERS_END = re.compile(rb"\r?\n\r?\n")
_HEADER_LINE = re.compile(rb"content-length[ \t]*:[ \t]*\d+[ \t]*\r?\n", re.IGNORECASE)
"""No JSON holds this: in a string the line break would be escaped, and outside of one the letters cannot be."""

_LONGEST_HEADER_LINE = 64
"""Bytes at the end of noise that may be the beginning of a header."""


@dataclass(frozen=True)
class Garbage:
    """Bytes that were no message, as far as a log line needs them."""

    excerpt: bytes
    reason: str


class FrameParser:
    """Feed it bytes, get the bodies of messages, and `Garbage` where there was something else."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._missing: int | None = None
        self._searched = 0

    def feed(self, data: bytes) -> list[bytes | Garbage]:
        """The bodies that `data` completes, in order."""
        self._buffer += data
        frames: list[bytes | Garbage] = []
        while True:
            if self._missing is None:
                if not self._read_headers(frames):
                    return frames
            elif len(self._buffer) >= self._missing:
                frames.append(bytes(memoryview(self._buffer)[: self._missing]))
                del self._buffer[: self._missing]
                self._missing = None
            elif not self._give_up_body(frames):
                return frames

    def _give_up_body(self, frames: list[bytes | Garbage]) -> bool:
        """Leaves a body whose length was wrong, seen by the next message's header inside of it."""
        header = _HEADER_LINE.search(self._buffer, self._searched)
        if header is None:
            self._searched = max(0, len(self._buffer) - _LONGEST_HEADER_LINE)
            return False
        self._missing = None
        frames.append(Garbage(bytes(self._buffer[:80]), "a Content-Length greater than the message"))
        del self._buffer[: header.start()]
        return True

    def _read_headers(self, frames: list[bytes | Garbage]) -> bool:
        """Takes one block of headers off the buffer; False if it is not whole yet."""
        end = _HEADERS_END.search(self._buffer)
        if end is None:
            if len(self._buffer) > MAX_HEADER_BYTES:
                self._skip(frames, len(self._buffer) - _LONGEST_HEADER_LINE, "headers without end")
            return False
        if end.end() > MAX_HEADER_BYTES:
            self._skip(frames, end.end(), "headers too long")
            return True
        headers = bytes(self._buffer[: end.start()])
        length = _LENGTH.search(headers)
        if length is None or int(length[1]) > MAX_BODY_BYTES:
            self._skip(frames, end.end(), "no usable Content-Length")
            return True
        if not (headers[:1].isalpha() and _HEADER_START.search(headers)):
            frames.append(Garbage(headers[:80], "noise before a header"))
        self._missing, self._searched = int(length[1]), 0
        del self._buffer[: end.end()]
        return True

    def _skip(self, frames: list[bytes | Garbage], most: int, reason: str) -> None:
        """Drops bytes up to the next thing that looks like a header; without one, `most` of them."""
        following = _HEADER_START.search(self._buffer, 1, most + _LONGEST_HEADER_LINE)
        until = following.start() if following else most
        frames.append(Garbage(bytes(self._buffer[:80]), reason))
        del self._buffer[:until]
