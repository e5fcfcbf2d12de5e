"""A parser for `text/event-stream`: feed bytes, get the data of events. No I/O; may be cut at any byte.

Lines end at CR LF, LF or CR *bytes*: a splitter for text (httpx's `aiter_lines`, `str.splitlines`) also breaks at
U+2028 and U+0085, which JSON may hold unescaped, and so cuts a valid event in two.
"""

from __future__ import annotations

import re

from codestral_ls.api.errors import NonsenseAnswer

MAX_EVENT_BYTES = 4 << 20
"""An event whose lines are longer than this is no answer to a completion request; reading on would only cost memory."""

_LINE_END = re.compile(rb"[\r\n]")
_BOM = b"\xef\xbb\xbf"


class EventParser:
    """Turns bytes into the `data` of server-sent events.

    >>> parser = EventParser()
    >>> parser.feed(b'data: {"a"')
    []
    >>> parser.feed(b": 1}\\r\\n\\r\\ndata: [DONE]\\n\\n")
    ['{"a": 1}', '[DONE]']
    """

    def __init__(self) -> None:
        self._line = bytearray()
        self._data: list[bytes] = []
        self._size = 0
        self._after_cr = False
        self._first_line = True

    def feed(self, chunk: bytes) -> list[str]:
        """The data of every event that `chunk` completes, in order. Raises `NonsenseAnswer` for an endless event."""
        events: list[str] = []
        start = 0
        if self._after_cr and chunk:
            start = 1 if chunk[:1] == b"\n" else 0
            self._after_cr = False
        while match := _LINE_END.search(chunk, start):
            self._line += chunk[start : match.start()]
            start = match.end()
            if match[0] == b"\r":
                if start == len(chunk):
                    self._after_cr = True
                elif chunk[start : start + 1] == b"\n":
                    start += 1
            self._end_of_line(events)
        self._line += chunk[start:]
        self._check_size()
        return events

    def close(self) -> list[str]:
        """The data of a last event that the end of the stream completes: some servers leave out its blank line."""
        events: list[str] = []
        if self._line:
            self._end_of_line(events)
        self._end_of_event(events)
        return events

    def _end_of_line(self, events: list[str]) -> None:
        # Here as well as after a piece: whether an event is too long must not depend on how it was cut.
        self._check_size()
        line = bytes(self._line)
        self._line.clear()
        if self._first_line:
            self._first_line = False
            line = line.removeprefix(_BOM)
        if not line:
            self._end_of_event(events)
            return
        field, _, value = line.partition(b":")
        if field == b"data":
            self._data.append(value.removeprefix(b" "))
            self._size += len(line)

    def _end_of_event(self, events: list[str]) -> None:
        if self._data:
            events.append(b"\n".join(self._data).decode("utf-8", "replace"))
        self._data.clear()
        self._size = 0

    def _check_size(self) -> None:
        if self._size + len(self._line) > MAX_EVENT_BYTES:
            raise NonsenseAnswer("The API sent an event of more than 4 MB; the answer was dropped.")
