"""One HTTP/2 connection: many requests at once, each of which can be stopped without harm to the others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Callable

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings
import httpx

from codestral_ls.api.transport.connection import (
    WRITE_CHUNK,
    Connection,
    Headers,
    ResponseStream,
    Timeouts,
    Unprocessed,
    closed_by_peer,
)

# What a server may send on one stream before it is read: the bound on a stream's buffer.
STREAM_WINDOW = 256 * 1024
# And on all streams together; a reader that stands still must not starve the others.
CONNECTION_WINDOW = 4 * 1024 * 1024
# Until the server has said how many streams it takes: the least that RFC 9113, section 6.5.2, recommends to allow.
ASSUMED_STREAMS = 100
# After this silence a connection may have died unnoticed (sleep, another network, a NAT that forgot it): the next
# request brings a PING along, and if nothing at all comes back in time, later requests take a new connection.
SILENCE_SECONDS = 10.0
PING_SECONDS = 2.0

# Fields of HTTP/1.1 connections that RFC 9113, section 8.2.2, forbids; Host becomes :authority.
_DROPPED_FIELDS = frozenset(
    (b"connection", b"host", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade", b"te")
)
_CANCEL = h2.errors.ErrorCodes.CANCEL


class Http2Connection(Connection):
    http2 = True

    def __init__(self, number: int, established: int, on_change: Callable[[Connection], None]) -> None:
        super().__init__(number, established, on_change)
        self._h2 = _Protocol()
        self._streams: dict[int, ResponseStream] = {}
        self._uploading: set[int] = set()
        self._retiring = False
        self._settled = False
        self._last_received = 0.0
        self._ping_timer: asyncio.TimerHandle | None = None

    @property
    def has_room(self) -> bool:
        limit = self._h2.remote_settings.max_concurrent_streams if self._settled else ASSUMED_STREAMS
        return not (self._retiring or self.lost.done()) and len(self._streams) < limit

    @property
    def busy(self) -> bool:
        return bool(self._streams)

    async def send(
        self, request: httpx.Request, body: bytes | AsyncIterable[bytes], timeouts: Timeouts
    ) -> ResponseStream:
        try:
            number = self._h2.get_next_available_stream_id()
        except h2.exceptions.NoAvailableStreamIDError as error:
            self._retire()
            raise Unprocessed("the connection has no stream numbers left") from error
        stream = ResponseStream(
            timeouts.read, lambda size: self._consumed(number, size), lambda: self._abandoned(number)
        )
        self._streams[number] = stream
        self._uploading.add(number)
        try:
            try:
                self._h2.send_headers(number, _request_headers(request), end_stream=body == b"")
            except h2.exceptions.ProtocolError as error:
                raise httpx.LocalProtocolError(str(error)) from error
            self._check_alive()
            if isinstance(body, bytes):
                if body:
                    await self._send_data(number, stream, body, timeouts.write, last=True)
            else:
                async for chunk in body:
                    await self._send_data(number, stream, chunk, timeouts.write, last=False)
                await self._send_data(number, stream, b"", timeouts.write, last=True)
            self._flush()
            self._uploading.discard(number)
            await stream.head()
        except BaseException:
            stream.abandon()
            raise
        finally:
            self._uploading.discard(number)
        return stream

    def close(self) -> None:
        if not self.lost.done():
            self._retiring = True
            for number in list(self._streams):
                self._reset(number)
            self._fail_all(httpx.ReadError("the connection was closed here"))
            self._h2.close_connection()
            self._flush()
            self.transport.close()

    # Sending.

    async def _send_data(
        self, number: int, stream: ResponseStream, data: bytes, seconds: float | None, *, last: bool
    ) -> None:
        start = 0
        unflushed = 0
        while not stream.over:
            room = min(self._h2.local_flow_control_window(number), self._h2.max_outbound_frame_size)
            rest = len(data) - start
            if rest and room <= 0:
                self._flush()
                await self._wait_progress(seconds)
                continue
            size = min(max(room, 0), rest)
            ends = last and size == rest
            if size or ends:
                self._h2.send_data(number, data[start : start + size], end_stream=ends)
            start += size
            unflushed += size
            if start == len(data):
                break
            if unflushed >= WRITE_CHUNK:
                unflushed = 0
                self._flush()
                await self._drained(stream, seconds)
        if not last:
            self._flush()
            await self._drained(stream, seconds)

    def _flush(self) -> None:
        data = self._h2.data_to_send()
        if data and not self.lost.done():
            self.transport.write(data)

    def _check_alive(self) -> None:
        loop = asyncio.get_running_loop()
        if self._ping_timer is None and loop.time() - self._last_received > SILENCE_SECONDS:
            self._h2.ping(b"alive?\r\n")
            self._ping_timer = loop.call_later(PING_SECONDS, self._no_pong)

    def _no_pong(self) -> None:
        self._ping_timer = None
        self._retire()

    # Receiving.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._last_received = asyncio.get_running_loop().time()
        self._h2.initiate_connection()
        self._h2.increment_flow_control_window(CONNECTION_WINDOW - 65_535)
        self._flush()

    def data_received(self, data: bytes) -> None:
        self._last_received = asyncio.get_running_loop().time()
        if self._ping_timer is not None:
            self._ping_timer.cancel()
            self._ping_timer = None
        try:
            events = self._h2.receive_data(data)
        except h2.exceptions.ProtocolError as error:
            failure = httpx.RemoteProtocolError(f"the server broke the rules of HTTP/2: {error}")
            failure.__cause__ = error
            self._fail_all(failure)
            self._flush()  # h2 has a GOAWAY ready that says why
            self._retire()
            return
        for event in events:
            self._handle(event)
        self._flush()

    def _handle(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.DataReceived):
            stream = self._streams.get(event.stream_id)
            size = event.flow_controlled_length
            if stream is None:
                self._h2.acknowledge_received_data(size, event.stream_id)
            else:
                stream.feed(event.data, size)
        elif isinstance(event, h2.events.ResponseReceived):
            stream = self._streams.get(event.stream_id)
            if stream is not None:
                status, headers = _response_headers(event.headers)
                stream.begin(status, headers, b"HTTP/2")
        elif isinstance(event, h2.events.StreamEnded):
            self._finish(event.stream_id)
        elif isinstance(event, h2.events.StreamReset):
            self._reset_by_peer(event)
        elif isinstance(event, h2.events.RemoteSettingsChanged):
            self._settled = True
            self._wake_writers()
            self._on_change(self)
        elif isinstance(event, h2.events.WindowUpdated):
            self._wake_writers()
        elif isinstance(event, h2.events.ConnectionTerminated):
            self._going_away(event)

    def _finish(self, number: int) -> None:
        stream = self._streams.get(number)
        if stream is None:
            return
        stream.finish()
        if number in self._uploading:
            # Answered before the request was sent in full: the server does not want the rest.
            self._reset(number)
        self._remove(number)

    def _reset_by_peer(self, event: h2.events.StreamReset) -> None:
        stream = self._streams.get(event.stream_id)
        if stream is None:
            return
        code = event.error_code
        if code == h2.errors.ErrorCodes.REFUSED_STREAM:
            stream.fail(Unprocessed("the server refused the stream"))
        else:
            name = code.name if isinstance(code, h2.errors.ErrorCodes) else str(code)
            stream.fail(httpx.RemoteProtocolError(f"the server reset the stream ({name})"))
        self._remove(event.stream_id)

    def _going_away(self, event: h2.events.ConnectionTerminated) -> None:
        last = event.last_stream_id or 0
        for number, stream in list(self._streams.items()):
            if number > last:
                stream.fail(Unprocessed("the server is closing the connection"))
                self._remove(number)
        self._retire()

    # The end of streams and of the connection.

    def _consumed(self, number: int, size: int) -> None:
        if not self.lost.done():
            self._h2.acknowledge_received_data(size, number)
            self._flush()

    def _abandoned(self, number: int) -> None:
        self._reset(number)
        self._flush()
        self._remove(number)

    def _reset(self, number: int) -> None:
        try:
            self._h2.reset_stream(number, _CANCEL)
        except h2.exceptions.ProtocolError:
            # h2 knows the stream as closed, or never saw it begin: then there is nothing to tell the server.
            return

    def _remove(self, number: int) -> None:
        if self._streams.pop(number, None) is not None:
            self._wake_writers()
            self._on_change(self)
            self._close_if_done()

    def _retire(self) -> None:
        """Take no new requests; close when those under way are through."""
        self._retiring = True
        self._on_change(self)
        self._close_if_done()

    def _close_if_done(self) -> None:
        if self._retiring and not self._streams and not self.transport.is_closing():
            self.close()

    def _fail_all(self, error: Exception) -> None:
        streams, self._streams = self._streams, {}
        for stream in streams.values():
            stream.fail(error)
        self._wake_writers()

    def connection_lost(self, exc: Exception | None) -> None:
        self._retiring = True
        if self._ping_timer is not None:
            self._ping_timer.cancel()
        streams, self._streams = self._streams, {}
        for stream in streams.values():
            stream.fail(closed_by_peer(exc, answered=bool(stream.status)))
        super().connection_lost(exc)


class _Protocol(h2.connection.H2Connection):
    """h2, except that a GOAWAY does not end it.

    h2 closes its state machine at a GOAWAY and throws away what it was about to send, so that the next frame of a
    stream that the server still finishes is a protocol error. RFC 9113, section 6.8, lets those streams go on.
    """

    def __init__(self) -> None:
        config = h2.config.H2Configuration(client_side=True, header_encoding=None)
        super().__init__(config)
        self.state_machine = _StateMachine()
        self.local_settings = h2.settings.Settings(
            client=True,
            initial_values={
                h2.settings.SettingCodes.ENABLE_PUSH: 0,
                h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: STREAM_WINDOW,
                h2.settings.SettingCodes.MAX_HEADER_LIST_SIZE: self.DEFAULT_MAX_HEADER_LIST_SIZE,
            },
        )
        # Not a client's to announce (RFC 8441, section 3); some servers take it as an error.
        del self.local_settings[h2.settings.SettingCodes.ENABLE_CONNECT_PROTOCOL]

    def clear_outbound_data_buffer(self) -> None:
        """Called at a GOAWAY only."""


class _StateMachine(h2.connection.H2ConnectionStateMachine):
    def process_input(self, input_: h2.connection.ConnectionInputs) -> list[h2.events.Event]:
        if input_ is h2.connection.ConnectionInputs.RECV_GOAWAY:
            return []
        return super().process_input(input_)


def _request_headers(request: httpx.Request) -> Headers:
    url = request.url
    authority = url.netloc
    fields: Headers = []
    for name, value in request.headers.raw:
        name = name.lower()
        if name == b"host":
            authority = value
        elif name not in _DROPPED_FIELDS:
            fields.append((name, value))
    return [
        (b":method", request.method.encode("ascii")),
        (b":scheme", url.raw_scheme),
        (b":authority", authority),
        (b":path", url.raw_path),
        *fields,
    ]


def _response_headers(headers: list[tuple[bytes, bytes]]) -> tuple[int, Headers]:
    status = 0
    fields: Headers = []
    for name, value in headers:
        if name == b":status":
            status = int(value)
        elif not name.startswith(b":"):
            fields.append((name, value))
    return status, fields
