"""What goes into the engine and what comes out of it."""

from __future__ import annotations

import enum
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Protocol

from codestral_ls.api.client import Timeouts
from codestral_ls.api.errors import ApiError
from codestral_ls.api.wire import Chunk, FimRequest, Usage
from codestral_ls.settings import Settings
from codestral_ls.text.document import Snapshot


class Trigger(enum.Enum):
    """Why a completion is asked for."""

    AUTOMATIC = "automatic"
    """The person typed or moved."""
    INVOKED = "invoked"
    """The person asked for one by a gesture: nothing is waited for, and every gate but privacy is open."""


@dataclass(frozen=True)
class Ask:
    """One question to the engine: what could stand at `offset` (in characters) of `snapshot`?

    `waited_ms` is what the editor's own debounce has waited since the last key. `excluded` is the reason why this
    file never leaves the machine, if it does not.
    """

    snapshot: Snapshot
    offset: int
    trigger: Trigger
    settings: Settings
    waited_ms: float = 0.0
    excluded: str | None = None


class Origin(enum.Enum):
    """Where a suggestion comes from."""

    KNOWN = "known"
    JOINED = "joined"
    API = "api"


@dataclass(frozen=True)
class Suggestion:
    """Text to insert at the cursor, with the document's line ends. Never blank."""

    text: str
    origin: Origin


@dataclass(frozen=True)
class Outcome:
    """The engine's answer. Without suggestions, `why` says why in a few words; `error` is the API's, if it failed.

    `request`, `usage` and the times are those of the request that the answer comes from, also when it was joined;
    a known answer has none. `waited_ms` is our own debounce, `first_text_ms` and `total_ms` count from the request.
    """

    suggestions: tuple[Suggestion, ...] = ()
    why: str | None = None
    error: ApiError | None = None
    request: FimRequest | None = None
    usage: Usage | None = None
    waited_ms: float = 0.0
    first_text_ms: float | None = None
    total_ms: float | None = None


class FimApi(Protocol):
    """What the engine needs of the API."""

    def fim(self, request: FimRequest, timeouts: Timeouts) -> AsyncGenerator[Chunk, None]:
        """Streams the text between the request's prompt and suffix; closing the generator ends the call."""


@dataclass(frozen=True)
class Place:
    """What stands round the cursor, as far as the shape of a suggestion depends on it.

    `before` and `after` are the windows that the model sees. `eol` is the document's line end.
    """

    before: str
    after: str
    language: str
    eol: str
    multiline: bool
    line_before: str = field(init=False)
    line_after: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "line_before", _last_line(self.before))
        object.__setattr__(self, "line_after", _first_line(self.after))


def _last_line(text: str) -> str:
    return text[max(text.rfind("\n"), text.rfind("\r")) + 1 :]


def _first_line(text: str) -> str:
    ends = [at for at in (text.find("\n"), text.find("\r")) if at >= 0]
    return text[: min(ends)] if ends else text
