"""One HTTP/1.1 connection: one request at a time, and no way to stop an answer but to close."""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable

import h11
import httpx

from codestral_ls.api.transport.connection import (
    WRITE_CHUNK,
    Connection,
    ResponseStream,
    Timeouts,
    closed_by_peer,
)

# Above this many unread bytes the socket is not read, so that the server has to wait.
BUFFER_LIMIT = 256 * 1024
# h11's own 16 KiB is less than what some gateways send in headers; httpcore allows the same.
_MAX_HEAD = 100 * 1024


class Http1Connection(Connection):
    """`forward_authorization` is None for a direct line or a tunnel; for a proxy that forwards requests, it is the
    Proxy-Authorization header's value, empty if there is none.
    """

    http2 = False

    def __init__(
        self,
        number: int,
        established: int,
        on_change: Callable[[Connection], None],
        forward_authorization: bytes | None = None,
    ) -> None:
        super().__init__(number, established, on_change)
        self._h11 = h11.Connection(h11.CLIENT, max_incomplete_event_size=_MAX_HEAD)
        self._forward_authorization = forward_authorization
        self._stream: ResponseStream | None = None
        self._sending = False
        self._answer_begun = False
        self._closing = False
        self._paused = False

    @property
    def has_room(self) -> bool:
        return not (self.busy or self._closing or self.lost.done())

    @property
    def busy(self) -> bool:
        return self._stream is not None or self._sending

    async def send(
        self, request: httpx.Request, body: bytes | AsyncIterable[bytes], timeouts: Timeouts
    ) -> ResponseStream:
        stream = ResponseStream(timeouts.read, self._consumed, self._abandoned)
        self._stream, self._sending, self._answer_begun = stream, True, False
        try:
            try:
                await self._send(request, body, stream, timeouts.write)
            finally:
                self._sending = False
            await stream.head()
            self._settle()
        except BaseException:
            stream.abandon()
            if self._stream is stream:  # answered in full, but not asked in full
                self._abandoned()
            raise
        return stream

    def close(self) -> None:
        self._closing = True
        self._fail(httpx.ReadError("the connection was closed here"))
        self.transport.close()

    def abort(self) -> None:
        self._closing = True
        super().abort()

    # Sending.

    async def _send(
        self,
        request: httpx.Request,
        body: bytes | AsyncIterable[bytes],
        stream: ResponseStream,
        seconds: float | None,
    ) -> None:
        target = request.url.raw_path
        headers = request.headers.raw
        if self._forward_authorization is not None:
            target = b"%s://%s%s" % (request.url.raw_scheme, request.url.netloc, target)
            if self._forward_authorization:
                headers = [*headers, (b"Proxy-Authorization", self._forward_authorization)]
        try:
            head = self._encode(h11.Request(method=request.method, target=target, headers=headers))
            if isinstance(body, bytes) and len(body) <= WRITE_CHUNK:
                # One write, one packet: head and body of an ordinary request leave together.
                payload = self._encode(h11.Data(data=body)) if body else b""
                self.transport.write(head + payload + self._encode(h11.EndOfMessage()))
                return
            self.transport.write(head)
            if isinstance(body, bytes):
                for start in range(0, len(body), WRITE_CHUNK):
                    await self._send_chunk(body[start : start + WRITE_CHUNK], stream, seconds)
            else:
                async for chunk in body:
                    await self._send_chunk(chunk, stream, seconds)
            if not stream.over:
                self.transport.write(self._encode(h11.EndOfMessage()))
        except h11.LocalProtocolError as error:
            raise httpx.LocalProtocolError(str(error)) from error

    async def _send_chunk(self, chunk: bytes, stream: ResponseStream, seconds: float | None) -> None:
        # A server that has answered already (413, say) does not want the rest.
        if not stream.over:
            self.transport.write(self._encode(h11.Data(data=chunk)))
            await self._drained(stream, seconds)

    def _encode(self, event: h11.Event) -> bytes:
        return self._h11.send(event) or b""

    # Receiving.

    def data_received(self, data: bytes) -> None:
        if self._stream is None:
            # A server says something unasked, such as "408 Request Timeout", only to close the connection.
            self.abort()
            self._on_change(self)
            return
        self._answer_begun = True
        self._h11.receive_data(data)
        self._parse()

    def eof_received(self) -> None:
        self._closing = True
        if self._stream is None:
            self._on_change(self)
            return
        self._h11.receive_data(b"")
        if self._answer_begun:
            # A body without length or chunks ends here; anything else is cut short, which h11 reports.
            self._parse()

    def _parse(self) -> None:
        stream = self._stream
        try:
            while stream is not None:
                event = self._h11.next_event()
                if isinstance(event, h11.Response):
                    version = b"HTTP/" + event.http_version
                    stream.begin(event.status_code, event.headers.raw_items(), version)
                elif isinstance(event, h11.Data):
                    stream.feed(bytes(event.data), len(event.data))
                elif isinstance(event, h11.EndOfMessage):
                    stream.finish()
                    self._wake_writers()
                    self._settle()
                    return
                elif not isinstance(event, h11.InformationalResponse):
                    break
        except h11.RemoteProtocolError as error:
            failure = httpx.RemoteProtocolError(f"the server's answer is not valid HTTP/1.1: {error}")
            failure.__cause__ = error
            self._fail(failure)
            self.abort()
            return
        if self._h11.their_state is h11.SWITCHED_PROTOCOL:
            self._fail(httpx.RemoteProtocolError("the server switched to another protocol"))
            self.abort()
        elif stream is not None and stream.unread > BUFFER_LIMIT and not self._paused:
            self._paused = True
            self.transport.pause_reading()

    def _settle(self) -> None:
        """When request and response are both done: ready for the next one, or closed if one side wants that."""
        stream = self._stream
        if stream is None or not stream.complete or self._sending:
            return
        self._stream = None
        self._resume_reading()
        done = self._h11.our_state is h11.DONE and self._h11.their_state is h11.DONE
        if done and not self._closing and not self._h11.trailing_data[0]:
            self._h11.start_next_cycle()
        else:
            self.abort()
        self._on_change(self)

    def _consumed(self, _size: int) -> None:
        self._resume_reading()

    def _resume_reading(self) -> None:
        if self._paused and not self.lost.done():
            self._paused = False
            self.transport.resume_reading()

    # The end.

    def _abandoned(self) -> None:
        self._stream = None
        self.given_up = True
        self.abort()
        self._on_change(self)

    def _fail(self, error: Exception) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.fail(error)
            self._wake_writers()

    def connection_lost(self, exc: Exception | None) -> None:
        self._closing = True
        self._fail(closed_by_peer(exc, answered=self._answer_begun))
        super().connection_lost(exc)
