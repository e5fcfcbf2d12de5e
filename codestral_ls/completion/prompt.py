"""The windows round the cursor that are sent to the model, and whether one line or several are asked for."""

from __future__ import annotations

import re

from codestral_ls.api.wire import FimRequest
from codestral_ls.completion.types import Ask, Place, Trigger
from codestral_ls.settings import Settings
from codestral_ls.text.document import Snapshot

SINGLE_LINE_TOKENS = 96
"""Room for one line: the longest lines of common style guides (120 characters) have about 40 tokens."""

SUGGESTED_TEMPERATURE_STEP = 0.3

_STEP = 4
"""The window's start moves in steps of a quarter of the window: while the person types, the prompt keeps its
beginning, and a server that caches prompts finds it again."""

_OPENS_BLOCK = re.compile(r"(?:[:{(\[]|=>|->|\b(?:do|then|else|begin|try))\s*$")
_COMMENT = re.compile(r"^\s*(?:#|//|--|;;|%)")


def place(ask: Ask) -> Place:
    """What stands round the cursor, cut to windows at line ends. Costs the windows, whatever the file's size."""
    snapshot, settings = ask.snapshot, ask.settings
    before = prefix_window(snapshot, ask.offset, settings.prefix_chars)
    after = suffix_window(snapshot, ask.offset, settings.suffix_chars)
    draft = Place(before, after, snapshot.language, snapshot.eol, multiline=False)
    if not wants_lines(draft, settings, ask.trigger):
        return draft
    return Place(before, after, snapshot.language, snapshot.eol, multiline=True)


def prefix_window(snapshot: Snapshot, offset: int, chars: int) -> str:
    """At most `chars` characters before `offset`, from a line start if there is one among them."""
    if offset <= chars:
        return snapshot.prefix(offset, offset)
    step = max(1, chars // _STEP)
    start = -((chars - offset) // step) * step
    window = snapshot.prefix(offset, offset - start)
    line_start = window.find("\n") + 1
    if line_start and line_start < len(window):
        return window[line_start:]
    return window.lstrip("\n")


def suffix_window(snapshot: Snapshot, offset: int, chars: int) -> str:
    """At most `chars` characters after `offset`, to a line end if there is one among them."""
    window = snapshot.suffix(offset, chars)
    if len(window) < chars:
        return window
    line_end = window.rfind("\n") + 1
    return window[:line_end] if line_end else window


def wants_lines(place: Place, settings: Settings, trigger: Trigger) -> bool:
    """Whether several lines are asked for: on a blank line, after what opens a block, and on a gesture."""
    if settings.multiline != "auto":
        return settings.multiline == "always"
    if place.line_after.strip(" \t)]}>\"'`;,:") or _COMMENT.match(place.line_before):
        return False
    if trigger is Trigger.INVOKED or not place.line_before.strip():
        return True
    return bool(_OPENS_BLOCK.search(place.line_before)) and not place.line_after.strip(" \t)]}>;,")


def request(place: Place, settings: Settings) -> FimRequest:
    """The request for the text at this place."""
    stops = list(settings.stop)
    most = settings.max_tokens
    if not place.multiline:
        stops = ["\n", *stops]
        most = min(most, SINGLE_LINE_TOKENS)
    return FimRequest(
        model=settings.fim_model,
        prompt=place.before,
        suffix=place.after,
        max_tokens=most,
        temperature=settings.temperature,
        top_p=settings.top_p,
        stop=stops,
    )
