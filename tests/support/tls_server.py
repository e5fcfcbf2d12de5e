"""A real HTTP/2 and HTTP/1.1 server on loopback, with TLS of its own, that remembers what clients did and when.

    with TlsServer(lambda request: Reply(body=b"hello")) as server:
        ...  # server.url, server.ca_file, server.requests, server.connections

A handler is called with each request in the server's thread and gives a Reply, or an Act when it is to misbehave; it
may be a coroutine function. A body may be bytes, an iterable, or an asynchronous iterable, which is cancelled when the
client resets the stream.
"""

from __future__ import annotations

import asyncio
import enum
import inspect
import ssl
import tempfile
import threading
import time
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings
import h11
import trustme


class Act(enum.Enum):
    """What a server does instead of answering."""

    SILENCE = enum.auto()
    REFUSE = enum.auto()  # RST_STREAM(REFUSED_STREAM); over HTTP/1.1 the connection is closed
    RESET = enum.auto()  # RST_STREAM(INTERNAL_ERROR); over HTTP/1.1 the connection is closed
    HANG_UP = enum.auto()  # the connection is closed without a word


@dataclass(frozen=True)
class Reply:
    status: int = 200
    headers: Sequence[tuple[str, str]] = ()
    body: bytes | Iterable[bytes] | AsyncIterable[bytes] = b""


@dataclass(eq=False)
class Served:
    """One connection as the server saw it. Times are `time.monotonic()`, the same clock as the client's."""

    number: int
    protocol: str
    opened_at: float
    closed_at: float | None = None
    pings: int = 0
    line: Line = field(repr=False, default=cast("Line", None))


@dataclass(eq=False)
class Request:
    """One request as the server saw it. `stream` is 0 over HTTP/1.1, where a reset is the connection's end."""

    connection: Served
    stream: int
    method: str
    path: str
    headers: dict[str, str]
    body: bytes = b""
    arrived_at: float = 0.0
    reset_at: float | None = None
    answered_at: float | None = None


Handler = Callable[[Request], "Reply | Act | Awaitable[Reply | Act]"]


class TlsServer:
    """Starts with `with`, on a free port of 127.0.0.1. `protocols` is what ALPN offers; without TLS it is HTTP/1.1.

    `acknowledge_uploads=False` never opens a flow-control window for what clients send. `answer_before_body=True` calls
    the handler at an HTTP/2 request's headers instead of its end.
    """

    def __init__(
        self,
        handler: Handler,
        *,
        protocols: Sequence[str] = ("h2", "http/1.1"),
        tls: bool = True,
        max_concurrent_streams: int = 100,
        host_names: Sequence[str] = ("localhost", "127.0.0.1"),
        acknowledge_uploads: bool = True,
        answer_before_body: bool = False,
    ) -> None:
        self.handler = handler
        self.max_concurrent_streams = max_concurrent_streams
        self.acknowledge_uploads = acknowledge_uploads
        self.answer_before_body = answer_before_body
        self.connections: list[Served] = []
        self.requests: list[Request] = []
        self.port = 0
        self.ca_file = ""
        self._context = None
        self._folder = tempfile.TemporaryDirectory(prefix="tls-server-")
        if tls:
            authority = trustme.CA()
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.set_alpn_protocols(list(protocols))
            authority.issue_cert(*host_names).configure_cert(self._context)
            self.ca_file = str(Path(self._folder.name, "ca.pem"))
            authority.cert_pem.write_to_path(self.ca_file)
        self.loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tls-server", daemon=True)

    @property
    def url(self) -> str:
        return f"{'https' if self._context else 'http'}://127.0.0.1:{self.port}"

    def call(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Run `function` in the server's thread and wait for it."""

        async def run() -> None:
            function(*arguments)

        asyncio.run_coroutine_threadsafe(run(), self.loop).result(10)

    async def until(self, condition: Callable[[], object], seconds: float = 10.0) -> None:
        """Wait in a client's event loop until the server has seen something. Raises TimeoutError."""
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                raise TimeoutError(f"the server has not seen it within {seconds} s")
            await asyncio.sleep(0.002)

    def close_connections(self) -> None:
        """Hang up on every client, as a server does with idle connections."""
        self.call(lambda: [served.line.transport.close() for served in self.connections if not served.closed_at])

    def __enter__(self) -> TlsServer:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self.loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
        self._folder.cleanup()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_until_complete(self._serve())
        finally:
            self.loop.close()

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        server = await self.loop.create_server(lambda: Line(self), "127.0.0.1", 0, ssl=self._context)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()
        for served in self.connections:
            served.line.transport.abort()
        await asyncio.gather(*(served.line.lost.wait() for served in self.connections))
        tasks = asyncio.all_tasks() - {cast("asyncio.Task[Any]", asyncio.current_task())}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Line(asyncio.Protocol):
    """The server's end of a connection; which protocol it speaks is known once it is made."""

    def __init__(self, server: TlsServer) -> None:
        self.server = server
        self.speaker: Http1 | Http2
        self.transport: asyncio.Transport
        self._writable = asyncio.Event()
        self._writable.set()
        self.lost = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        tls = transport.get_extra_info("ssl_object")
        protocol = (tls and tls.selected_alpn_protocol()) or "http/1.1"
        number = len(self.server.connections) + 1
        self.served = Served(number, protocol, time.monotonic(), line=self)
        self.server.connections.append(self.served)
        self.speaker = Http2(self) if protocol == "h2" else Http1(self)

    def data_received(self, data: bytes) -> None:
        self.speaker.receive(data)

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.served.closed_at = time.monotonic()
        self.transport.close()  # Python 3.10 warns of a leak otherwise
        self._writable.set()
        self.lost.set()
        self.speaker.lost()

    def goaway(self, last_stream: int) -> None:
        """Announce the end; streams up to `last_stream` go on."""
        cast(Http2, self.speaker).goaway(last_stream)

    def limit_streams(self, count: int) -> None:
        cast(Http2, self.speaker).limit_streams(count)

    async def drained(self) -> None:
        await self._writable.wait()

    async def answer(self, request: Request) -> Reply | Act:
        request.arrived_at = time.monotonic()
        self.server.requests.append(request)
        result = self.server.handler(request)
        return await result if inspect.isawaitable(result) else cast("Reply | Act", result)


class Http2:
    def __init__(self, line: Line) -> None:
        self.line = line
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        limit = {h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: line.server.max_concurrent_streams}
        self.h2.local_settings = h2.settings.Settings(client=False, initial_values=limit)
        self.requests: dict[int, Request] = {}
        self.tasks: dict[int, asyncio.Task[None]] = {}
        self.window = asyncio.Event()
        self.h2.initiate_connection()
        self.flush()

    def flush(self) -> None:
        data = self.h2.data_to_send()
        if data and not self.line.transport.is_closing():
            self.line.transport.write(data)

    def goaway(self, last_stream: int) -> None:
        # h2 will not go on after a GOAWAY of its own, so the frame is written beside it.
        frame = bytes([0, 0, 8, 7, 0, 0, 0, 0, 0]) + last_stream.to_bytes(4, "big") + bytes(4)
        self.line.transport.write(frame)

    def limit_streams(self, count: int) -> None:
        self.h2.update_settings({h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: count})
        self.flush()

    def receive(self, data: bytes) -> None:
        try:
            events = self.h2.receive_data(data)
        except h2.exceptions.ProtocolError:
            self.flush()
            self.line.transport.close()
            return
        for event in events:
            self.handle(event)
        self.flush()

    def handle(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.RequestReceived):
            fields = [(str(name), str(value)) for name, value in cast(Any, event.headers)]
            pseudo = dict(fields)
            self.requests[event.stream_id] = Request(
                self.line.served,
                event.stream_id,
                pseudo[":method"],
                pseudo[":path"],
                {name: value for name, value in fields if name[0] != ":"} | {"host": pseudo.get(":authority", "")},
            )
            if self.line.server.answer_before_body:
                self.begin(event.stream_id)
        elif isinstance(event, h2.events.DataReceived):
            self.requests[event.stream_id].body += event.data
            if self.line.server.acknowledge_uploads:
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            if not self.line.server.answer_before_body:
                self.begin(event.stream_id)
        elif isinstance(event, h2.events.StreamReset):
            if event.stream_id in self.requests and self.requests[event.stream_id].reset_at is None:
                self.requests[event.stream_id].reset_at = time.monotonic()
            if event.stream_id in self.tasks:
                self.tasks[event.stream_id].cancel()
        elif isinstance(event, h2.events.PingReceived):
            self.line.served.pings += 1
        elif isinstance(event, h2.events.WindowUpdated):
            self.window.set()

    def begin(self, stream: int) -> None:
        self.tasks[stream] = asyncio.get_running_loop().create_task(self.respond(self.requests[stream]))

    def lost(self) -> None:
        for task in self.tasks.values():
            task.cancel()

    async def respond(self, request: Request) -> None:
        reply = await self.line.answer(request)
        if isinstance(reply, Act):
            self.act(reply, request.stream)
            return
        with suppress(h2.exceptions.ProtocolError):  # the client has reset the stream meanwhile
            fields = [(":status", str(reply.status)), *((name.lower(), value) for name, value in reply.headers)]
            self.h2.send_headers(request.stream, fields)
            self.flush()
            async for chunk in _chunks(reply.body):
                await self.send(request.stream, chunk)
            self.h2.end_stream(request.stream)
            self.flush()
            request.answered_at = time.monotonic()

    def act(self, act: Act, stream: int) -> None:
        if act is Act.HANG_UP:
            self.line.transport.close()
        elif act is not Act.SILENCE:
            codes = h2.errors.ErrorCodes
            self.h2.reset_stream(stream, codes.REFUSED_STREAM if act is Act.REFUSE else codes.INTERNAL_ERROR)
            self.flush()

    async def send(self, stream: int, data: bytes) -> None:
        while data:
            size = min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size, len(data))
            if size <= 0:
                self.window.clear()
                await self.window.wait()
                continue
            self.h2.send_data(stream, data[:size])
            data = data[size:]
            self.flush()
            await self.line.drained()


class Http1:
    def __init__(self, line: Line) -> None:
        self.line = line
        self.h11 = h11.Connection(h11.SERVER)
        self.request: Request | None = None
        self.task: asyncio.Task[None] | None = None

    def receive(self, data: bytes) -> None:
        try:
            self.h11.receive_data(data)
            self.parse()
        except h11.RemoteProtocolError:
            self.line.transport.close()

    def parse(self) -> None:
        while True:
            event = self.h11.next_event()
            if isinstance(event, h11.Request):
                self.request = Request(
                    self.line.served,
                    0,
                    event.method.decode(),
                    event.target.decode(),
                    {name.decode().lower(): value.decode() for name, value in event.headers},
                )
            elif isinstance(event, h11.Data) and self.request:
                self.request.body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage) and self.request:
                self.task = asyncio.get_running_loop().create_task(self.respond(self.request))
            else:
                return

    def lost(self) -> None:
        if self.request is not None and self.request.answered_at is None:
            self.request.reset_at = time.monotonic()
        if self.task is not None:
            self.task.cancel()

    async def respond(self, request: Request) -> None:
        reply = await self.line.answer(request)
        if isinstance(reply, Act):
            if reply is not Act.SILENCE:
                self.line.transport.close()
            return
        headers = [*reply.headers]
        if isinstance(reply.body, bytes):
            headers.append(("Content-Length", str(len(reply.body))))
        else:
            headers.append(("Transfer-Encoding", "chunked"))
        self.write(h11.Response(status_code=reply.status, headers=headers))
        async for chunk in _chunks(reply.body):
            self.write(h11.Data(data=chunk))
            await self.line.drained()
        request.answered_at = time.monotonic()
        self.write(h11.EndOfMessage())
        if self.h11.our_state is h11.DONE and self.h11.their_state is h11.DONE:
            self.h11.start_next_cycle()
            self.parse()
        else:
            self.line.transport.close()

    def write(self, event: h11.Event) -> None:
        if not self.line.transport.is_closing():
            self.line.transport.write(self.h11.send(event) or b"")


async def _chunks(body: bytes | Iterable[bytes] | AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    if isinstance(body, bytes):
        if body:
            yield body
    elif isinstance(body, AsyncIterable):
        async for chunk in body:
            yield chunk
    else:
        for chunk in body:
            yield chunk


async def ticking(chunk: bytes = b"data: x\n\n", seconds: float = 0.005) -> AsyncIterator[bytes]:
    """A body that never ends, at a pace."""
    while True:
        yield chunk
        await asyncio.sleep(seconds)
