"""The one client of the API: opens streams, chooses the host, knows which keys were refused.

    client = Client(transport, Access(hosts, keys), timeouts)
    async with aclosing(client.fim(request)) as answer:
        async for chunk in answer:
            ...

Leaving the block before the end ends the call at the API at once. Any failure is an `ApiError`.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass

import httpx

from codestral_ls import __version__
from codestral_ls.api.answers import chunks, read_error_text, read_text
from codestral_ls.api.credentials import Access, Credentials, Key, Keys
from codestral_ls.api.diagnose import Asked, Clocks, from_exception, from_status, http_date
from codestral_ls.api.errors import ApiError, BadKey
from codestral_ls.api.limits import RateLimits, read_limits
from codestral_ls.api.wire import (
    CHAT_PATH,
    FIM_PATH,
    MODELS_PATH,
    ChatRequest,
    Chunk,
    FimRequest,
    Model,
    StreamError,
    read_models,
)

__all__ = ["Access", "Client", "Key", "Keys", "Timeouts"]

LONGEST_CONNECT_SECONDS = 4.0
"""A handshake takes well under a second; this leaves room for two lost packets, which TCP repeats after 1 and 3 s."""


@dataclass(frozen=True)
class Timeouts:
    """Seconds. `connect`: until there is a connection. `read`: without a byte, be it before the answer or within it.

    There is no limit on the whole of an answer here: who asks sets it, and closes the generator.
    """

    connect: float
    read: float

    @classmethod
    def of(cls, milliseconds: float) -> Timeouts:
        """Time-outs for an answer that is to be there after `milliseconds`."""
        seconds = milliseconds / 1000
        return cls(connect=min(seconds, LONGEST_CONNECT_SECONDS), read=seconds)

    def extension(self) -> dict[str, float]:
        """In the form that an httpx transport reads."""
        return {"connect": self.connect, "pool": self.connect, "write": self.read, "read": self.read}


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
        self._credentials = Credentials(access, clock)
        self._clocks = Clocks(clock, wall_clock)
        self._urls: dict[str, httpx.URL] = {}
        self.limits: RateLimits | None = None
        """What the last answer said about the quota."""
        self.clock_skew_seconds: float | None = None
        """How far this machine's clock is ahead of the host's, by the last answer's date."""

    @property
    def host(self) -> str:
        """The base address that is asked first."""
        return self._credentials.hosts[0]

    async def warm(self) -> None:
        """Have a connection ready, so that the first request waits for no handshake. Never fails."""
        if (warm := getattr(self._transport, "warm", None)) is not None:
            # What is wrong with the host or its address, the first request will say.
            with suppress(httpx.HTTPError, httpx.InvalidURL):
                await warm(self.host)

    def fim(self, request: FimRequest, timeouts: Timeouts) -> AsyncGenerator[Chunk, None]:
        """Streams the text between prompt and suffix. Closing the generator ends the call."""
        return self._stream(FIM_PATH, request.body(), request.model, timeouts)

    def chat(self, request: ChatRequest, timeouts: Timeouts) -> AsyncGenerator[Chunk, None]:
        """Streams the assistant's answer. Closing the generator ends the call."""
        return self._stream(CHAT_PATH, request.body(), request.model, timeouts)

    async def models(self, timeouts: Timeouts) -> tuple[Model, ...]:
        """The models that the host offers to this key."""
        async with self._open("GET", MODELS_PATH, None, "the list of models", timeouts) as (response, asked):
            try:
                text = await read_text(response, asked.host)
            except httpx.HTTPError as error:
                raise from_exception(error, asked, began=True) from error
            return read_models(self._credentials.scrub(text))

    async def aclose(self) -> None:
        """Ends all calls and closes the connections."""
        await self._transport.aclose()

    async def _stream(self, path: str, body: bytes, model: str, timeouts: Timeouts) -> AsyncGenerator[Chunk, None]:
        async with self._open("POST", path, body, model, timeouts) as (response, asked):
            try:
                async with aclosing(chunks(response, asked.host, self._credentials.scrub)) as answer:
                    async for chunk in answer:
                        yield chunk
            except StreamError as error:
                raise from_status(error.status, {}, error.data, asked, self._clocks) from None
            except httpx.HTTPError as error:
                raise from_exception(error, asked, began=True) from error

    @asynccontextmanager
    async def _open(
        self, method: str, path: str, body: bytes | None, model: str, timeouts: Timeouts
    ) -> AsyncIterator[tuple[httpx.Response, Asked]]:
        """A response with status 200, and who gave it; tries the other key and the other host where that may help."""
        response, asked = await self._ask(method, path, body, model, timeouts)
        try:
            yield response, asked
        finally:
            await response.aclose()

    async def _ask(
        self, method: str, path: str, body: bytes | None, model: str, timeouts: Timeouts
    ) -> tuple[httpx.Response, Asked]:
        credentials = self._credentials
        key = await credentials.key()
        hosts, looked_again = list(credentials.hosts), False
        refusal: ApiError | None = None
        while hosts:
            host = hosts[0]
            if not credentials.is_refused(host, key):
                asked = Asked(host.split("://", 1)[-1], model, key.source if key else "nowhere")
                try:
                    response = await self._send(method, host, path, body, key, asked, timeouts)
                except BadKey as error:
                    credentials.refuse(host, key)
                    refusal = error
                except ApiError as error:
                    if (told := credentials.doubt(key, error)) is error:
                        raise
                    raise told from error
                else:
                    credentials.accept(host)
                    return response, asked
            if not looked_again:
                # The key may have been rotated since it was read: look once, before the other host is tried.
                looked_again = True
                if (fresh := await credentials.other_key(key)) is not None:
                    key = fresh
                    continue
            hosts.pop(0)
        raise credentials.refusal(key, refusal)

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
        headers = {
            "accept": "text/event-stream, application/json" if body is not None else "application/json",
            # A proxy that packs a stream holds its pieces back.
            "accept-encoding": "identity",
            "user-agent": f"codestral-ls/{__version__}",
        }
        if body is not None:
            headers["content-type"] = "application/json"
        if key is not None:
            headers["authorization"] = f"Bearer {key.value}"
        extensions = {"timeout": timeouts.extension()}
        try:
            request = httpx.Request(
                method, self._url(host + path), headers=headers, content=body, extensions=extensions
            )
            response = await self._transport.handle_async_request(request)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise from_exception(error, asked, began=False) from error
        self.limits = read_limits(response.headers) or self.limits
        if (date := http_date(response.headers.get("date", ""))) is not None:
            self.clock_skew_seconds = self._clocks.wall() - date
        if response.status_code == 200:
            return response
        try:
            text = await read_error_text(response)
        finally:
            await response.aclose()
        raise from_status(response.status_code, response.headers, self._credentials.scrub(text), asked, self._clocks)

    def _url(self, address: str) -> httpx.URL:
        # Parsing one takes longer than all the rest that we do for a request.
        if (url := self._urls.get(address)) is None:
            url = self._urls[address] = httpx.URL(address)
        return url
