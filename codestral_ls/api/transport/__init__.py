"""The HTTP transport: HTTP/2 and HTTP/1.1 on asyncio, made for requests that are cancelled all day.

A cancelled HTTP/2 request sends RST_STREAM at once and keeps its connection, which httpcore does not do
(encode/httpcore#1098); over HTTP/1.1, where closing is the only way to say it, a replacement is dialled meanwhile.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import AsyncIterable, Callable

import httpx

from codestral_ls.api.transport.connection import ResponseStream, Timeouts, Unanswered, Unprocessed
from codestral_ls.api.transport.dial import Dialler, Origin
from codestral_ls.api.transport.options import NetworkOptions
from codestral_ls.api.transport.pool import OriginPool

__all__ = ["NetworkOptions", "Transport"]

logger = logging.getLogger(__name__)

# How often a request that the server has not looked at (REFUSED_STREAM, GOAWAY) is sent again.
MAX_REFUSALS = 2


class Transport(httpx.AsyncBaseTransport):
    """Connections to any number of hosts, for one event loop.

        async with httpx.AsyncClient(transport=Transport(network=NetworkOptions())) as client:
            async with client.stream("POST", url, json=body) as response:
                ...

    `clock` gives seconds and measures how long connections are idle. `connections_opened` counts those that were made,
    TLS included.
    """

    def __init__(self, *, network: NetworkOptions, clock: Callable[[], float] = time.monotonic) -> None:
        self.connections_opened = 0
        self._network = network
        self._clock = clock
        self._dialler = Dialler(network)
        self._pools: dict[Origin, OriginPool] = {}
        self._ticks = itertools.count(1)
        self._closed = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send `request` and give its response as soon as the headers are there.

        The response's extensions hold `http_version` and `network`: the connection's number, and whether it was there
        before the request (`reused`). A response that is not read to its end must be closed; that cancels it.

        The limits of `request.extensions["timeout"]` are seconds or None. A request is sent twice only if a connection
        that was there before it is closed without a byte of an answer, or if the server says that it has not looked at
        it; and only if its body is bytes.

        Raises httpx.UnsupportedProtocol, ConnectError (from the OSError; a certificate's is
        ssl.SSLCertVerificationError), ConnectTimeout, ProxyError, PoolTimeout, ReadTimeout, WriteTimeout, ReadError,
        RemoteProtocolError, LocalProtocolError; RuntimeError once the transport is closed.
        """
        pool = self._pool(request.url)
        timeouts = Timeouts.of(request.extensions)
        body = _body(request)
        begun = next(self._ticks)
        established_after = refusals = 0
        while True:
            connection = await pool.acquire(timeouts, established_after)
            try:
                stream = await connection.send(request, body, timeouts)
            except Unanswered:
                if connection.established > begun or not isinstance(body, bytes):
                    raise
                established_after = begun
            except Unprocessed:
                refusals += 1
                if refusals > MAX_REFUSALS or not isinstance(body, bytes):
                    raise
            else:
                return _response(stream, connection.number, reused=connection.established < begun)

    async def warm(self, url: httpx.URL | str) -> None:
        """Have a connection to the host of `url` ready, so that the next request need not wait for a handshake.

        Returns when it is; a failure is logged and otherwise left to that request. Calls at the same time, and a
        request that comes meanwhile, share one handshake.
        """
        try:
            await self._pool(httpx.URL(url)).warm()
        except (httpx.TransportError, httpx.InvalidURL) as error:
            logger.info("no connection ahead of time: %s", error)

    async def aclose(self) -> None:
        """Close every connection. What is still being read fails with httpx.ReadError."""
        self._closed = True
        pools, self._pools = self._pools, {}
        await asyncio.gather(*(pool.aclose() for pool in pools.values()))

    def _pool(self, url: httpx.URL) -> OriginPool:
        if self._closed:
            raise RuntimeError("the transport is closed")
        origin = Origin.of(url)
        pool = self._pools.get(origin)
        if pool is None:
            pool = self._pools[origin] = OriginPool(
                origin,
                self._dialler,
                idle_seconds=self._network.idle_seconds,
                clock=self._clock,
                tick=lambda: next(self._ticks),
                on_opened=self._opened,
            )
        return pool

    def _opened(self) -> int:
        self.connections_opened += 1
        return self.connections_opened


def _body(request: httpx.Request) -> bytes | AsyncIterable[bytes]:
    if isinstance(request.stream, httpx.ByteStream):
        return b"".join(request.stream)
    if isinstance(request.stream, httpx.AsyncByteStream):
        return request.stream
    raise RuntimeError("an asynchronous transport needs an asynchronous request body")


def _response(stream: ResponseStream, number: int, *, reused: bool) -> httpx.Response:
    return httpx.Response(
        stream.status,
        headers=stream.headers,
        stream=stream,
        extensions={
            "http_version": stream.http_version,
            "network": {"connection": number, "reused": reused},
        },
    )
