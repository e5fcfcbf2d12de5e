"""The one client of the API: opens streams, chooses the host, knows which keys were refused.

    client = Client(transport, Access(hosts, keys), timeouts)
    async with aclosing(client.fim(request)) as answer:
        async for chunk in answer:
            ...

Leaving the block before the end ends the call at the API at once. Any failure is an `ApiError`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from typing import Protocol

import httpx

from codestral_ls import __version__
from codestral_ls.api.diagnose import Asked, Clocks, from_exception, from_status
from codestral_ls.api.errors import ApiError, BadKey, KeyForOtherHost, NoKey, NonsenseAnswer
from codestral_ls.api.events import EventParser
from codestral_ls.api.limits import RateLimits, read_limits
from codestral_ls.api.wire import (
    CHAT_PATH,
    DONE,
    FIM_PATH,
    MODELS_PATH,
    ChatRequest,
    Chunk,
    FimRequest,
    Model,
    StreamError,
    excerpt,
    read_chunk,
    read_models,
)

MAX_PLAIN_ANSWER_BYTES = 4 << 20
"""A plain answer longer than this is dropped: FIM and chat answers have at most a few hundred kilobytes."""

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
class Timeouts:
    """Seconds: to connect, to the first byte of an answer, and between two pieces of it."""

    connect: float
    first_byte: float
    silence: float

    @classmethod
    def of(cls, milliseconds: float) -> Timeouts:
        """Time-outs for an answer that is to be there after `milliseconds`."""
        seconds = milliseconds / 1000
        return cls(connect=seconds, first_byte=seconds, silence=seconds)

    def extension(self) -> dict[str, float]:
        """In the form that an httpx transport reads."""
        return {
            "connect": self.connect,
            "read": self.first_byte,
            "write": self.first_byte,
            "pool": self.connect,
        }


@dataclass(frozen=True)
class Access:
    """Where to ask and with what key.

    `hosts` are base addresses without `/v1`: the first is asked, and after a 401 the next once (so more than one
    only for Mistral's own). `other_host` is where a refused key may belong, for the message alone: the key does
    not go there. `remember` is told which host took the key.
    """

    hosts: tuple[str, ...]
    keys: Keys
    needs_key: bool = True
    other_host: str | None = None
    remember: Callable[[str], None] | None = None


class Client:
    """Calls the API through a transport. One a server; safe to use from many tasks of one loop."""

    def __init__(
        self,
        transport: httpx.AsyncBaseTransport,
        access: Access,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._transport = transport
        self._access = access
        self._clocks = Clocks(clock, wall_clock)
        self._hosts = list(access.hosts)
        self._refused: dict[tuple[str, str], float] = {}
        self._reload_from = -RELOAD_SECONDS
        self._urls: dict[str, httpx.URL] = {}
        self.limits: RateLimits | None = None
        """What the last answer said about the quota."""
        self.clock_skew_seconds: float | None = None
        """How far this machine's clock is ahead of the host's, by the last answer's date."""

    @property
    def host(self) -> str:
        """The base address that is asked first."""
        return self._hosts[0]

    async def warm(self) -> None:
        """Have a connection ready, so that the first request waits for no handshake. Never fails."""
        if (warm := getattr(self._transport, "warm", None)) is not None:
            await warm(self.host)

    async def fim(self, request: FimRequest, timeouts: Timeouts) -> AsyncGenerator[Chunk, None]:
        """Streams the text between prompt and suffix."""
        async for chunk in self._stream(FIM_PATH, request.body(), request.model, timeouts):
            yield chunk

    async def chat(self, request: ChatRequest, timeouts: Timeouts) -> AsyncGenerator[Chunk, None]:
        """Streams the assistant's answer."""
        async for chunk in self._stream(CHAT_PATH, request.body(), request.model, timeouts):
            yield chunk

    async def models(self, timeouts: Timeouts) -> tuple[Model, ...]:
        """The models that the host offers to this key."""
        asked = self._asked("the list of models")
        async with self._open("GET", MODELS_PATH, None, asked, timeouts) as response:
            try:
                return read_models(await self._read(response, asked))
            except httpx.HTTPError as error:
                raise from_exception(error, asked, began=True) from error

    async def aclose(self) -> None:
        """Ends all calls and closes the connections."""
        await self._transport.aclose()

    async def _stream(self, path: str, body: bytes, model: str, timeouts: Timeouts) -> AsyncGenerator[Chunk, None]:
        asked = self._asked(model)
        async with self._open("POST", path, body, asked, timeouts) as response:
            asked = replace(asked, host=response.extensions["host"])
            try:
                kind = response.headers.get("content-type", "")
                if kind.startswith("text/event-stream"):
                    parser, ended = EventParser(), False
                    async for piece in response.aiter_bytes():
                        for data in parser.feed(piece):
                            if data == DONE:
                                return
                            if chunk := read_chunk(data):
                                ended = ended or chunk.finish_reason is not None
                                yield chunk
                    for data in parser.close():
                        if data != DONE and (chunk := _read_last(data)):
                            ended = ended or chunk.finish_reason is not None
                            yield chunk
                    if not ended:
                        # No reason and no [DONE]: the stream was cut. What came is still good text.
                        yield Chunk("", finish_reason="cut")
                    return
                # Some servers ignore `stream`; a page of HTML comes with status 200, too.
                text = await self._read(response, asked)
                if not text.lstrip().startswith("{"):
                    raise NonsenseAnswer(
                        f"{asked.host} answered with “{excerpt(text, 60)}” instead of JSON: "
                        "check base_url, and whether a proxy or login page stands in between."
                    )
                if chunk := read_chunk(text):
                    yield chunk
            except StreamError as error:
                raise from_status(error.status, {}, str(error), asked, self._clocks) from None
            except httpx.HTTPError as error:
                raise from_exception(error, asked, began=True) from error

    @asynccontextmanager
    async def _open(
        self, method: str, path: str, body: bytes | None, asked: Asked, timeouts: Timeouts
    ) -> AsyncIterator[httpx.Response]:
        """A response with a good status; tries the other key and the other host where that may help."""
        response = await self._ask_hosts(method, path, body, asked, timeouts)
        try:
            yield response
        finally:
            await response.aclose()

    async def _ask_hosts(
        self, method: str, path: str, body: bytes | None, asked: Asked, timeouts: Timeouts
    ) -> httpx.Response:
        key = self._access.keys.key or await self._reload()
        if key is None and self._access.needs_key:
            raise NoKey(
                "There is no API key: set MISTRAL_API_KEY in the environment, or api_key in the user's settings. "
                "Keys are made at console.mistral.ai."
            )
        refusal: ApiError | None = None
        hosts, reloaded = list(self._hosts), False
        while hosts:
            host = hosts[0]
            if not self._is_refused(host, key):
                asked = Asked(host.split("://", 1)[-1], asked.model, key.source if key else "nowhere")
                try:
                    response = await self._send(method, host, path, body, key, asked, timeouts)
                except BadKey as error:
                    refusal = error
                    if key is None:
                        raise
                    self._refused[host, key.value] = self._clocks.monotonic() + REFUSAL_SECONDS
                else:
                    self._took(host)
                    return response
            if not reloaded:
                # The key may have been rotated since it was read: look once, at all hosts anew if it was.
                reloaded = True
                fresh = await self._reload()
                if fresh is not None and (key is None or fresh.value != key.value):
                    key, hosts = fresh, list(self._hosts)
                    continue
            hosts.pop(0)
        raise self._refusal(refusal, key)

    async def _reload(self) -> Key | None:
        """The key as it is in its sources now; as it was last seen if that was a moment ago."""
        now = self._clocks.monotonic()
        if now < self._reload_from:
            return self._access.keys.key
        key = await asyncio.to_thread(self._access.keys.reload)
        self._reload_from = self._clocks.monotonic() + RELOAD_SECONDS
        return key

    def _refusal(self, refusal: ApiError | None, key: Key | None) -> ApiError:
        source = key.source if key else "nowhere"
        names = " and ".join(host.split("://", 1)[-1] for host in self._hosts)
        if self._access.other_host and len(self._hosts) == 1:
            return KeyForOtherHost(
                f"{names} refuses the API key (401); it comes from {source}. It may belong to "
                f"{self._access.other_host}: then set base_url to that, or to auto. "
                "A used-up quota gives the same answer.",
                status=401,
            )
        if refusal is not None and len(self._hosts) == 1:
            return refusal
        verb = "refuse" if len(self._hosts) > 1 else "refuses"
        return BadKey(
            f"{names} {verb} the API key (401); it comes from {source}: check it at console.mistral.ai. "
            "A used-up quota gives the same answer.",
            status=401,
        )

    def _is_refused(self, host: str, key: Key | None) -> bool:
        if key is None:
            return False
        until = self._refused.get((host, key.value))
        return until is not None and self._clocks.monotonic() < until

    def _took(self, host: str) -> None:
        if host != self._hosts[0]:
            self._hosts.remove(host)
            self._hosts.insert(0, host)
            if self._access.remember is not None:
                self._access.remember(host)

    async def _send(
        self,
        method: str,
        host: str,
        path: str,
        body: bytes | None,
        key: Key | None,
        asked: Asked,
        timeouts: Timeouts,
    ) -> httpx.Response:
        url = self._urls.get(host + path)
        if url is None:
            url = self._urls[host + path] = httpx.URL(host + path)
        headers = {
            "accept": "text/event-stream, application/json" if body is not None else "application/json",
            "user-agent": f"codestral-ls/{__version__}",
        }
        if body is not None:
            headers["content-type"] = "application/json"
        if key is not None:
            headers["authorization"] = f"Bearer {key.value}"
        request = httpx.Request(
            method, url, headers=headers, content=body, extensions={"timeout": timeouts.extension()}
        )
        try:
            response = await self._transport.handle_async_request(request)
        except httpx.HTTPError as error:
            raise from_exception(error, asked, began=False) from error
        self.limits = read_limits(response.headers) or self.limits
        self._note_date(response.headers.get("date"))
        response.extensions["host"] = asked.host
        if response.status_code == 200:
            return response
        try:
            text = await self._read(response, asked)
        except httpx.HTTPError as error:
            text = str(error)
        finally:
            await response.aclose()
        # A server may say the key back to us; no message is to hold it.
        text = text.replace(key.value, "[key]") if key is not None else text
        raise from_status(response.status_code, response.headers, text, asked, self._clocks)

    def _note_date(self, date: str | None) -> None:
        if date is not None:
            # A header that is no date says nothing about the clock.
            with suppress(ValueError, TypeError):
                self.clock_skew_seconds = self._clocks.wall() - parsedate_to_datetime(date).timestamp()

    async def _read(self, response: httpx.Response, asked: Asked) -> str:
        pieces, size = [], 0
        async for piece in response.aiter_bytes():
            pieces.append(piece)
            size += len(piece)
            if size > MAX_PLAIN_ANSWER_BYTES:
                raise NonsenseAnswer(f"{asked.host} sent an answer of more than 4 MB; it was dropped.")
        return b"".join(pieces).decode("utf-8", "replace")

    def _asked(self, model: str) -> Asked:
        return Asked(self.host.split("://", 1)[-1], model)


def _read_last(data: str) -> Chunk | None:
    """The chunk of an event that the end of the connection completed, or None if it was cut in the middle."""
    try:
        return read_chunk(data)
    except NonsenseAnswer:
        return None
