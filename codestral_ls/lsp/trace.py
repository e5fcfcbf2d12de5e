"""The file of `--trace-file`: every message with direction and time, one line of JSON each, without keys."""

from __future__ import annotations

import contextlib
import json
import logging
import re
import time
from collections.abc import Callable, Iterable, Mapping
from typing import IO, Any

from codestral_ls.settings.keys import KEY_VARIABLES
from codestral_ls.settings.kinds import snake_case
from codestral_ls.settings.masking import MASK, mask, mask_bearer, mask_userinfo

logger = logging.getLogger(__name__)

_KEYS = frozenset({"api_key", "api_key_command"})
_URLS = frozenset({"base_url", "proxy"})

_VARIABLES = (*KEY_VARIABLES, "CODESTRAL_LS_API_KEY")
_ASSIGNED = re.compile(
    r"(\b(?:" + "|".join(_VARIABLES) + r")\s*[=:]\s*[\"']?|\bapi_?key[\"']?\s*[=:]\s*[\"'])[^\s\"']+", re.IGNORECASE
)
"""A key where people write it down: a `.env` or a file of settings that is open in the editor."""


def tracer(
    file: IO[str], known: Callable[[], Iterable[str]], environment: Mapping[str, str]
) -> Callable[[str, object], None]:
    """Writes messages to `file`. `known` gives the keys found so far.

    That is not enough: a key may come in the editor's settings, or stand in an open file, before it is ever looked up.
    If `file` takes no more, that is logged once, the file is closed, and no more is written. Never raises OSError.
    """
    started = time.monotonic()
    at_hand = tuple(environment[name].strip() for name in _VARIABLES if environment.get(name, "").strip())

    def write(way: str, message: object) -> None:
        if file.closed:
            return
        line = json.dumps({"t": round(time.monotonic() - started, 4), "way": way, "msg": _without_keys(message)})
        try:
            file.write(mask_bearer(mask(line, (*known(), *at_hand))) + "\n")
            file.flush()
        except OSError as error:
            logger.warning("The trace ends here: it cannot be written (%s)", error.strerror or error)
            # What is still in its buffer would be written again at the close, and fail again.
            with contextlib.suppress(OSError):
                file.close()

    return write


def _without_keys(value: object) -> object:
    """The message with the settings and assignments that may hold a key blotted out, wherever in it they stand."""
    if isinstance(value, str):
        return _ASSIGNED.sub(rf"\1{MASK}", value)
    if isinstance(value, list):
        return [_without_keys(entry) for entry in value]
    if isinstance(value, dict):
        return {name: _blotted(snake_case(name), entry) for name, entry in value.items()}
    return value


def _blotted(name: str, value: Any) -> object:
    if name in _KEYS and value:
        return MASK
    if name in _URLS and isinstance(value, str):
        return mask_userinfo(value)
    return _without_keys(value)
