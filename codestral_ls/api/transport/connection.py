"""What HTTP/1.1 and HTTP/2 have in common: a response as it arrives, and a connection as the pool sees it."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from typing import Any

import httpx

# How much of a request's body is handed to the socket before waiting until it has drained.
WRITE_CHUNK = 64 * 1024

Headers = list[tuple[bytes, bytes]]


class Unanswered(httpx.RemoteProtocolError):
    """The peer closed the connection before the first byte of an answer."""


class Unprocessed(httpx.RemoteProtocolError):
    """The peer says that it has not looked at the request (RFC 9113, section 8.7), so that it is safe to repeat."""


@dataclass(frozen=True)
class Timeouts:
    """The limits of httpx for one request, in seconds; None waits for ever."""

    connect: float | None = None
    read: float | None = None
    write: float | None = None
    pool: float | None = None

    @classmethod
    def of(cls, extensions: Any) -> Timeouts:
        """The limits in a request's extensions."""
        given = extensions.get("timeout") or {}
        return cls(given.get("connect"), given.get("read"), given.get("write"), given.get("pool"))


async def wait(future: asyncio.Future[None], seconds: float | None, error: Callable[[], Exception]) -> None:
    """Wait for `future`; raise what `error` makes after `seconds`. A cancelled caller cancels the future."""
    if seconds is None:
        await future
        return
    timer = asyncio.get_running_loop().call_later(seconds, _expire, future, error)
    try:
        await future
    finally:
        timer.cancel()


def _expire(future: asyncio.Future[None], error: Callable[[], Exception]) -> None:
    if not future.done():
        future.set_exception(error())


class ResponseStream(httpx.AsyncByteStream):
    """One response, filled by its connection and read by one task.

    Closing it before its end gives the response up: the connection tells the server at once. So does a read that times
    out or is cancelled, since nobody can know then what the reader still wants.
    """

    def __init__(
        self,
        read_seconds: float | None,
        on_consumed: Callable[[int], None],
        on_abandoned: Callable[[], None],
    ) -> None:
        self.status = 0
        self.headers: Headers = []
        self.http_version = b""
        self.complete = False
        self._read_seconds = read_seconds
        self._on_consumed = on_consumed
        self._on_abandoned = on_abandoned
        self._chunks: list[bytes] = []
        self._unread = 0
        self._error: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None

    # The connection's side.

    @property
    def over(self) -> bool:
        """Whether nothing more will arrive."""
        return self.complete or self._error is not None

    @property
    def unread(self) -> int:
        """Bytes that have arrived and count against flow control, but have not been read."""
        return self._unread

    def begin(self, status: int, headers: Iterable[tuple[bytes, bytes]], http_version: bytes) -> None:
        self.headers = list(headers)
        self.http_version = http_version
        self.status = status
        self._wake()

    def feed(self, data: bytes, size: int) -> None:
        """`size` is what the data counts for in flow control, padding included."""
        self._unread += size
        if data:
            self._chunks.append(data)
            self._wake()

    def finish(self) -> None:
        self.complete = True
        self._wake()

    def fail(self, error: Exception) -> None:
        if not self.over:
            self._error = error
            self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # The reader's side.

    async def head(self) -> None:
        """Wait for status and headers. Raises httpx.ReadTimeout or what the connection failed with."""
        while not self.status:
            if self._error is not None:
                raise self._error
            await self._wait()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        while True:
            if self._chunks:
                data = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
                self._chunks.clear()
                self._release()
                return data
            if self._error is not None:
                raise self._error
            if self.complete:
                raise StopAsyncIteration
            try:
                await self._wait()
            except BaseException:
                self.abandon()
                raise

    async def aclose(self) -> None:
        self.abandon()

    def abandon(self) -> None:
        """Give up what is still to come; nothing happens when all of it has come."""
        self._chunks.clear()
        if not self.over:
            self._error = httpx.StreamClosed()
            self._on_abandoned()
        # After the reset, so that no window is opened for what is no longer wanted.
        self._release()

    def _release(self) -> None:
        if self._unread:
            size, self._unread = self._unread, 0
            self._on_consumed(size)

    async def _wait(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        await wait(self._waiter, self._read_seconds, self._read_timeout)

    def _read_timeout(self) -> Exception:
        what = "the server did not go on with its answer" if self.status else "the server did not answer"
        return httpx.ReadTimeout(f"{what} within {self._read_seconds:g} s")


class Connection(asyncio.Protocol, ABC):
    """One connection, from its handshake to its end.

    `number` counts the connections of a transport from 1. `on_change` is called whenever `has_room` may have
    changed and when the connection is gone. `given_up` tells that an answer was not wanted to its end and took the
    connection along.
    """

    http2: bool
    given_up = False

    def __init__(self, number: int, established: int, on_change: Callable[[Connection], None]) -> None:
        self.number = number
        self.established = established
        self.idle_since: float | None = None
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._on_change = on_change
        self._transport: asyncio.Transport | None = None
        self._writable = True
        self._progress: set[asyncio.Future[None]] = set()

    @property
    @abstractmethod
    def has_room(self) -> bool:
        """Whether a request can be sent now."""

    @property
    @abstractmethod
    def busy(self) -> bool:
        """Whether a request is under way."""

    @abstractmethod
    async def send(
        self, request: httpx.Request, body: bytes | AsyncIterable[bytes], timeouts: Timeouts
    ) -> ResponseStream:
        """Send `request` and give its response once the headers are there. To be called only if `has_room`, and
        without an await in between.

        Raises Unanswered, Unprocessed and the other errors of httpx.
        """

    @abstractmethod
    def close(self) -> None:
        """End the connection in good order; what is still under way fails with httpx.ReadError."""

    def abort(self) -> None:
        """Drop the connection at once."""
        self.transport.abort()

    @property
    def transport(self) -> asyncio.Transport:
        assert self._transport is not None, "a connection is used only once it is made"
        return self._transport

    # asyncio's side.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def pause_writing(self) -> None:
        self._writable = False

    def resume_writing(self) -> None:
        self._writable = True
        self._wake_writers()

    def connection_lost(self, exc: Exception | None) -> None:
        # Python 3.10 takes a TLS transport that the peer has closed for leaked unless it is told.
        self.transport.close()
        if not self.lost.done():
            self.lost.set_result(None)
        self._wake_writers()
        self._on_change(self)

    # Helpers of the two kinds.

    async def _drained(self, stream: ResponseStream, seconds: float | None) -> None:
        """Wait until the socket takes more, or nobody wants it to."""
        while not self._writable and not stream.over and not self.lost.done():
            await self._wait_progress(seconds)

    async def _wait_progress(self, seconds: float | None) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._progress.add(future)
        try:
            await wait(future, seconds, lambda: httpx.WriteTimeout(f"the server took nothing in for {seconds:g} s"))
        finally:
            self._progress.discard(future)

    def _wake_writers(self) -> None:
        for future in self._progress:
            if not future.done():
                future.set_result(None)


def closed_by_peer(exc: Exception | None, *, answered: bool) -> Exception:
    """What a stream that was under way fails with when the connection is lost because of `exc` (None: closed)."""
    reason = f": {exc}" if exc is not None and str(exc) else ""
    error: Exception
    if not answered:
        error = Unanswered(f"the server closed the connection without answering{reason}")
    elif exc is None:
        error = httpx.RemoteProtocolError("the server closed the connection before its answer was complete")
    else:
        error = httpx.ReadError(f"the connection broke before the answer was complete{reason}")
    error.__cause__ = exc
    return error
