"""Places in files, as they are given on the command line."""

from __future__ import annotations

_MOST_DIGITS = 9
"""No file has more lines; and Python refuses to read a number of thousands of digits."""

MOST_SHOWN = 200
"""Characters of what the user gave, in a message of one line."""


def is_count(text: str) -> bool:
    """Whether `int` reads this as a line or column number, 0 included."""
    return text.isdecimal() and len(text) <= _MOST_DIGITS
