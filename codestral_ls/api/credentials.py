"""Which key goes to which host: where keys come from, which hosts may get them, and which of them were refused."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from codestral_ls.api.diagnose import Asked, key_mend
from codestral_ls.api.errors import ApiError, BadKey, KeyForOtherHost, NoAddress, NoKey
from codestral_ls.settings.masking import mask

RELOAD_SECONDS = 5.0
"""How often keys are looked for again at most: a look may run a command, and a person types several keys a second."""

REFUSAL_SECONDS = 60.0
"""How long a refused key is not tried again by itself: a 401 may also mean a used-up quota, which comes back."""


class Key(Protocol):
    """A key and where it was found."""

    @property
    def value(self) -> str: ...
    @property
    def source(self) -> str: ...


class Keys(Protocol):
    """Where keys come from. `reload` looks in all sources again, and may block for seconds."""

    @property
    def key(self) -> Key | None: ...
    def reload(self) -> Key | None: ...


@dataclass(frozen=True)
class Access:
    """Where to ask and with what key.

    `hosts` are base addresses without `/v1`: the first is asked, and after a 401 the next once (so more than one
    only for Mistral's own). `other_host` is where a refused key may belong, for the message alone: the key does
    not go there. `remember` is told which host took the key. `closed` says why nothing may be asked at all.
    """

    hosts: tuple[str, ...]
    keys: Keys = field(repr=False)
    needs_key: bool = True
    other_host: str | None = None
    remember: Callable[[str], None] | None = None
    closed: str | None = None


class Credentials:
    """The state of an `Access`. `clock` in seconds."""

    def __init__(self, access: Access, clock: Callable[[], float]) -> None:
        self._access = access
        self._clock = clock
        self._hosts = list(access.hosts)
        self._refused: dict[tuple[str, str], float] = {}
        self._seen: set[str] = set()
        self._looked = False
        self._reload_from = 0.0
        self._reloading = asyncio.Lock()

    @property
    def hosts(self) -> tuple[str, ...]:
        """The base addresses, in the order in which they are to be asked."""
        return tuple(self._hosts)

    async def key(self) -> Key | None:
        """The key in use; None for a host that needs none. Raises `NoKey`, and `BadKey` for what is no key.

        Raises `NoAddress` if nothing may be asked.
        """
        if self._access.closed is not None:
            raise NoAddress(self._access.closed)
        key = self._access.keys.key
        if key is None and (self._access.needs_key or not self._looked):
            key = await self._reload()
        if key is None and self._access.needs_key:
            raise NoKey(
                "There is no API key: set MISTRAL_API_KEY in the environment, or api_key in your settings. "
                "Keys are made at console.mistral.ai."
            )
        return self._checked(key)

    async def other_key(self, key: Key | None) -> Key | None:
        """A key other than the refused `key`, if its sources have one now: it may have been rotated since."""
        fresh = await self._reload()
        return None if fresh is None or (key is not None and fresh.value == key.value) else self._checked(fresh)

    def refuse(self, host: str, key: Key | None) -> None:
        """`host` has refused `key` (None: a request without one): it gets it no more for a while."""
        self._refused[host, key.value if key else ""] = self._clock() + REFUSAL_SECONDS

    def is_refused(self, host: str, key: Key | None) -> bool:
        """Whether `host` has refused `key` of late."""
        until = self._refused.get((host, key.value if key else ""))
        return until is not None and self._clock() < until

    def accept(self, host: str) -> None:
        """`host` has taken the key: it is asked first from now on."""
        if host != self._hosts[0]:
            self._hosts.remove(host)
            self._hosts.insert(0, host)
            if self._access.remember is not None:
                self._access.remember(host)

    def refusal(self, key: Key | None, said: ApiError | None) -> ApiError:
        """The error for a key that every host refuses. `said`: what the last one answered, if it was asked now."""
        names = [_name(host) for host in self._hosts]
        if key is None:
            return NoKey(
                f"{names[0]} asks for an API key (401), and there is none: set api_key, or MISTRAL_API_KEY in the "
                "environment.",
                status=401,
            )
        if self._access.other_host and len(self._hosts) == 1:
            return KeyForOtherHost(
                f"{names[0]} refuses the API key (401); it comes from {key.source}. It may belong to "
                f"{self._access.other_host}: then set base_url to that, or to auto. "
                "A used-up quota gives the same answer.",
                status=401,
            )
        if said is not None and len(self._hosts) == 1:
            return said
        verb = "refuse" if len(names) > 1 else "refuses"
        return BadKey(
            f"{' and '.join(names)} {verb} the API key (401); it comes from {key.source}: "
            f"{key_mend(Asked(names[0], ''))}",
            status=401,
        )

    def doubt(self, key: Key | None, error: ApiError) -> ApiError:
        """The `error` of one host, with what the user must know besides if the key may belong to neither."""
        names = [_name(host) for host in self._hosts if self.is_refused(host, key)]
        took_the_key = error.status is not None and 400 <= error.status < 500 and error.status != 404
        if not names or key is None or took_the_key:
            return error
        message = f"{names[0]} refuses the API key (401), which comes from {key.source}. {error}"
        return type(error)(message, status=error.status, retry_at=error.retry_at)

    def scrub(self, text: str) -> str:
        """`text` without any key: a server may say back what it was sent, and no message is to hold it."""
        text = mask(text, self._seen)
        try:
            # JSON has many spellings for one text (\u0041, \/); written anew, it has one.
            rewritten = json.dumps(json.loads(text), ensure_ascii=False)
        except (ValueError, RecursionError):
            return text
        masked = mask(rewritten, self._seen)
        return masked if masked != rewritten else text

    async def _reload(self) -> Key | None:
        """The key as it is in its sources now; as it was last seen if that was a moment ago."""
        async with self._reloading:
            if self._looked and self._clock() < self._reload_from:
                return self._access.keys.key
            key = await asyncio.to_thread(self._access.keys.reload)
            self._looked, self._reload_from = True, self._clock() + RELOAD_SECONDS
            return key

    def _checked(self, key: Key | None) -> Key | None:
        if key is None:
            return None
        if not (key.value.isascii() and key.value.isprintable()):
            raise BadKey(f"The API key from {key.source} holds characters that no key has: copy it again.")
        self._seen.add(key.value)
        return key


def _name(host: str) -> str:
    return host.split("://", 1)[-1]
