"""Whether to complete here at all: each rule gives its reason, for the log, the status and `complete --json`."""

from __future__ import annotations

import re

from codestral_ls.completion.types import Ask, Trigger

_CLOSING = re.compile(r"""\s*[)>}\]"'`]*\s*[:{;,]?\s*$""")
"""What may stand right of the cursor for an automatic completion: closing punctuation, and one more sign."""

_REST_CHARS = 200
"""A longer rest of the line than this is never only punctuation; looking further would grow with the line."""


def refuse(ask: Ask) -> str | None:
    """Why there is to be no completion for this ask; None if there may be one."""
    if ask.excluded is not None:
        return ask.excluded
    if ask.trigger is Trigger.INVOKED:
        return None
    settings = ask.settings
    if not settings.enabled:
        return f"completions are disabled for {ask.snapshot.language or 'this language'}"
    if settings.trigger == "manual":
        return "the trigger is manual"
    rest = ask.snapshot.line_after(ask.offset, _REST_CHARS + 1)
    if rest and (rest[0].isalnum() or rest[0] == "_"):
        return "the cursor is inside a word"
    if len(rest) > _REST_CHARS or not _CLOSING.match(rest):
        return "there is text after the cursor"
    return None
