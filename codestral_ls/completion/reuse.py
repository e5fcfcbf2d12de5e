"""Suggestions that are already known: looked up before any wait, without work that grows with the file."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass

from cachetools import TTLCache

from codestral_ls.completion.types import Place, Trigger

TAIL_CHARS, HEAD_CHARS = 256, 64
"""How much before and after the cursor must be the same: enough to tell places apart, bounded whatever the file."""

MOST_KNOWN = 100
KNOWN_SECONDS = 600.0
LONGEST_TYPED = 5000

MOST_OCCURRENCES = 16
"""How many places with the same text before them are looked at: in a line of one repeated sign every place is one."""


@dataclass(frozen=True)
class Anchor:
    """A place in a document, by what stands round it: the last characters before, the first after.

    `whole` tells that `tail` begins where the document (or its window) begins, so nothing may stand before it.
    """

    scope: Hashable
    tail: str
    head: str
    whole: bool
    multiline: bool

    @classmethod
    def of(cls, scope: Hashable, place: Place) -> Anchor:
        """The anchor at a place. `scope` is what else the answer depends on: document, model, settings."""
        return cls(
            scope,
            place.before[-TAIL_CHARS:],
            place.after[:HEAD_CHARS],
            len(place.before) <= TAIL_CHARS,
            place.multiline,
        )

    def typed_until(self, scope: Hashable, place: Place, agrees: Callable[[str], bool]) -> str | None:
        """What was typed since the anchor, if `place` is it or behind it and `agrees` with that; else None."""
        if scope != self.scope or not place.after.startswith(self.head):
            return None
        if len(self.head) < HEAD_CHARS and len(place.after) != len(self.head):
            return None
        before = place.before
        if self.whole:
            typed = before[len(self.tail) :]
            return typed if before.startswith(self.tail) and agrees(typed) else None
        earliest = max(0, len(before) - len(self.tail) - LONGEST_TYPED)
        end = len(before)
        for _ in range(MOST_OCCURRENCES):
            at = before.rfind(self.tail, earliest, end)
            if at < 0:
                break
            typed = before[at + len(self.tail) :]
            if agrees(typed):
                return typed
            end = at + len(self.tail) - 1
        return None


@dataclass(frozen=True)
class Known:
    """A suggestion, whole, at the place where it was made. Blank text is known, too: nothing belongs there."""

    anchor: Anchor
    text: str


class Reuse:
    """The suggestions known to one server: bounded in number and age, in memory only, never a failure."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._known: TTLCache[Anchor, Known] = TTLCache(MOST_KNOWN, KNOWN_SECONDS, timer=clock)

    def remember(self, anchor: Anchor, text: str) -> None:
        """Keeps what was found for a place."""
        self._known[anchor] = Known(anchor, text)

    def look_up(self, scope: Hashable, place: Place, trigger: Trigger) -> str | None:
        """What is left of a known suggestion at this place: exact, typed along or deleted back; newest first.

        Empty if it is known that nothing belongs here; None if nothing is known, or not what a gesture asks for:
        several lines where one was made before, anything where nothing was.
        """
        for known in reversed(list(self._known.values())):
            text = known.text
            if trigger is Trigger.INVOKED and (not text or (place.multiline and not known.anchor.multiline)):
                continue

            def agrees(typed: str, text: str = text) -> bool:
                return text == typed == "" or (len(typed) < len(text) and text.startswith(typed))

            typed = known.anchor.typed_until(scope, place, agrees)
            if typed is not None and (left := text[len(typed) :]).strip():
                return left
            if typed == "" and not text:
                return ""
        return None
