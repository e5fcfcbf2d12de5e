"""Line ends, where only the text matters and not how its document ends lines."""

from __future__ import annotations


def line_feeds(text: str) -> str:
    """The text with `\\n` for every line end: `\\r\\n`, `\\r` and `\\n`. The same object if it has no other."""
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text
