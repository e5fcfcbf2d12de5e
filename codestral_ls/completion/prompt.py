"""The windows round the cursor that are sent to the model, and whether one line or several are asked for."""

from __future__ import annotations

import re

from codestral_ls.api.wire import FimRequest
from codestral_ls.completion.types import Ask, Place, Trigger
from codestral_ls.settings import Settings
from codestral_ls.text.document import Snapshot
from codestral_ls.text.nesting import OPENS_BLOCK, Nesting

SINGLE_LINE_TOKENS = 96
"""Room for one line: the longest lines of common style guides (120 characters) have about 40 tokens."""

_STEP = 4
"""The window's start moves in steps of a quarter of the window: while the person types, the prompt keeps its
beginning, and a server that caches prompts finds it again."""

_LINE_END = re.compile(r"\r\n|[\r\n]")


def place(ask: Ask) -> Place:
    """What stands round the cursor, cut to windows. Costs the windows, whatever the file's size."""
    snapshot, settings = ask.snapshot, ask.settings
    offset = min(max(ask.offset, 0), len(snapshot.text))
    before = prefix_window(snapshot, offset, settings.prefix_chars)
    after = suffix_window(snapshot, offset, settings.suffix_chars)
    draft = Place(before, after, snapshot.language, snapshot.eol, multiline=False)
    if not wants_lines(draft, settings, ask.trigger):
        return draft
    return Place(before, after, snapshot.language, snapshot.eol, multiline=True)


def prefix_window(snapshot: Snapshot, offset: int, chars: int) -> str:
    """At most `chars` characters before `offset`, from a line start unless that would lose half of them."""
    if offset <= chars:
        return snapshot.prefix(offset, offset)
    step = max(1, chars // _STEP)
    start = -((chars - offset) // step) * step
    window = snapshot.prefix(offset, offset - start)
    line_end = _LINE_END.search(window)
    if line_end is not None and line_end.end() <= chars // 2:
        return window[line_end.end() :]
    # It may be the second half of a line end.
    return window.removeprefix("\n")


def suffix_window(snapshot: Snapshot, offset: int, chars: int) -> str:
    """At most `chars` characters after `offset`, to a line end unless that would lose half of them."""
    window = snapshot.suffix(offset, chars + 1)
    if len(window) <= chars:
        return window
    window, beyond = window[:chars], window[chars:]
    if beyond == "\n":
        window = window.removesuffix("\r")
    line_end = max(window.rfind("\n"), window.rfind("\r")) + 1
    return window[:line_end] if line_end > chars // 2 else window


def wants_lines(place: Place, settings: Settings, trigger: Trigger) -> bool:
    """Whether several lines are asked for: on a blank line, after what opens a block, and on a gesture.

    Never before other text on the line or in a line comment; in a string of one line on a gesture only.
    """
    if settings.multiline != "auto":
        return settings.multiline == "always"
    if place.line_after.strip(" \t)]}>\"'`;,:"):
        return False
    nesting = Nesting(place.language)
    nesting.feed(place.line_before)
    if nesting.state.in_line_comment:
        return False
    if trigger is Trigger.INVOKED or not place.line_before.strip():
        return True
    if nesting.state.in_line_text:
        return False
    return bool(OPENS_BLOCK.search(place.line_before)) and not place.line_after.strip(" \t)]}>;,")


def request(place: Place, settings: Settings) -> FimRequest:
    """The request for the text at this place."""
    stop = tuple(settings.stop)
    most = settings.max_tokens
    if not place.multiline:
        stop = ("\n", *stop)
        most = min(most, SINGLE_LINE_TOKENS)
    return FimRequest(
        model=settings.fim_model,
        prompt=place.before,
        suffix=place.after,
        max_tokens=most,
        temperature=settings.temperature,
        top_p=settings.top_p,
        stop=stop,
    )
