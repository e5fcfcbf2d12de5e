"""Keeping keys out of everything that is written: `mask()` for text, `KeyFilter` for log records."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable

MASK = "[key]"

# Six characters at least, so that prose such as "the bearer of" stays readable. Also the spelling in a URL.
_BEARER = re.compile(r"\b(bearer)(\s+|%20|\+)[^\s\"',;)\]}\\]{6,}", re.IGNORECASE)
_USERINFO = re.compile(r"(://)[^/?#\s@]+@")


def mask(text: str, keys: Iterable[str]) -> str:
    """`text` with each key, also where it is URL-quoted or JSON-escaped, replaced by `[key]`."""
    spellings = {spelling for key in keys if key for spelling in _spellings(key)}
    # The longest first: one key may be the beginning of another.
    for spelling in sorted(spellings, key=len, reverse=True):
        text = text.replace(spelling, MASK)
    return text


def mask_bearer(text: str) -> str:
    """`text` without what looks like the value of an Authorization header."""
    return _BEARER.sub(rf"\1\2{MASK}", text)


def mask_userinfo(url: str) -> str:
    """A URL without the user name and password before its host."""
    return _USERINFO.sub(r"\1[hidden]@", url)


class KeyFilter(logging.Filter):
    """Masks known keys and bearer tokens in message, arguments, exception and stack of every record.

    Belongs on handlers: a filter on a logger does not see the records of the loggers below it. `keys` is asked for
    each record, so that a key found later is masked too.
    """

    def __init__(self, keys: Callable[[], Iterable[str]]) -> None:
        super().__init__()
        self._keys = keys

    def filter(self, record: logging.LogRecord) -> bool:
        try:
            message = record.getMessage()
        except Exception:  # noqa: BLE001 - an argument's own __str__ may raise anything
            # logging would now write the raw arguments to stderr.
            message = f"{record.msg} (its arguments do not fit it)"
        record.msg, record.args = self._clean(message), ()
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        # Formatters print exc_text if it is there; without exc_info none can format the raw exception again.
        record.exc_info = None
        if record.exc_text:
            record.exc_text = self._clean(record.exc_text)
        if record.stack_info:
            record.stack_info = self._clean(record.stack_info)
        return True

    def _clean(self, text: str) -> str:
        return mask_bearer(mask(text, self._keys()))


def _spellings(key: str) -> tuple[str, ...]:
    import json
    from urllib.parse import quote

    return key, quote(key, safe=""), quote(key), json.dumps(key)[1:-1], repr(key)[1:-1]
