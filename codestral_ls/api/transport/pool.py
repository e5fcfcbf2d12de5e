"""The connections to one origin: which one a request takes, when another is dialled, when an idle one goes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import httpx

from codestral_ls.api.transport.connection import Connection, Timeouts, wait
from codestral_ls.api.transport.dial import Dialler, Line, Origin
from codestral_ls.api.transport.http1 import Http1Connection
from codestral_ls.api.transport.proxies import basic_authorization

logger = logging.getLogger(__name__)

# Connections to one origin, in use, idle and being dialled. An editor needs one or two; the bound is for a caller that
# runs wild over HTTP/1.1.
MAX_CONNECTIONS = 16
# Connections that stand ready over HTTP/1.1 for those that cancelled answers have cost.
MAX_SPARES = 2
# A dial is given up after this and, if a request still waits for it, begun afresh: the network may have changed
# meanwhile. A request's own limit ends its wait earlier.
DIAL_SECONDS = 10.0
# How long a closing connection may say goodbye before it is dropped.
GOODBYE_SECONDS = 0.25


class OriginPool:
    """`tick` gives rising numbers: it tells whether a connection was there before a request."""

    def __init__(
        self,
        origin: Origin,
        dialler: Dialler,
        *,
        idle_seconds: float,
        clock: Callable[[], float],
        tick: Callable[[], int],
        on_opened: Callable[[], int],
    ) -> None:
        self._origin = origin
        self._dialler = dialler
        self._idle_seconds = idle_seconds
        self._clock = clock
        self._tick = tick
        self._on_opened = on_opened
        self._connections: list[Connection] = []
        self._leaving: set[Connection] = set()  # no longer to be used, but not gone yet
        self._dials: set[asyncio.Task[None]] = set()
        self._waiters: list[asyncio.Future[None]] = []
        self._one_each = origin.scheme == "http"  # a guess for https, until ALPN has been seen
        self._sweep_timer: asyncio.TimerHandle | None = None
        self._closed = False

    async def acquire(self, timeouts: Timeouts, established_after: int = 0) -> Connection:
        """A connection with room for a request, to be used before the next await.

        Raises httpx.ConnectTimeout, httpx.PoolTimeout, and what dialling raises.
        """
        deadlines: dict[str, float] = {}
        while True:
            if self._closed:
                raise httpx.ConnectError("the transport was closed")
            connection = self._pick(established_after)
            if connection is not None:
                return connection
            await self._wait(timeouts, deadlines)

    async def warm(self) -> None:
        """Return when a connection is ready. Raises what `acquire` does."""
        await self.acquire(Timeouts(connect=DIAL_SECONDS, pool=DIAL_SECONDS))
        self._sweep()

    async def aclose(self) -> None:
        self._closed = True
        if self._sweep_timer is not None:
            self._sweep_timer.cancel()
        dials = list(self._dials)
        for dial in dials:
            dial.cancel()
        self._fail_waiters(httpx.ConnectError("the transport was closed"), len(self._waiters))
        for connection in list(self._connections):
            connection.close()
        connections = [*self._connections, *self._leaving]
        if connections:
            await asyncio.wait([connection.lost for connection in connections], timeout=GOODBYE_SECONDS)
        for connection in connections:
            if not connection.lost.done():
                connection.abort()
        ends = [connection.lost for connection in connections if not connection.lost.done()]
        if dials or ends:
            await asyncio.wait([*dials, *ends])

    # Choosing and waiting.

    def _pick(self, established_after: int) -> Connection | None:
        self._sweep()
        # The youngest first, so that a surplus of HTTP/1.1 connections grows old and goes.
        for connection in reversed(self._connections):
            if connection.has_room and connection.established > established_after:
                connection.idle_since = None
                return connection
        return None

    async def _wait(self, timeouts: Timeouts, deadlines: dict[str, float]) -> None:
        """Wait until there may be a connection. `deadlines` carries the ends of the limits through repeated waits."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        self._waiters.append(future)
        try:
            self._start_needed_dials()
            # Without a dial under way there is nothing to wait for but another request's end.
            limit = "connect" if self._dials else "pool"
            allowed = timeouts.connect if self._dials else timeouts.pool
            rest = None
            if allowed is not None:
                rest = max(0.0, deadlines.setdefault(limit, loop.time() + allowed) - loop.time())
            await wait(future, rest, lambda: self._timeout(limit, allowed))
        except httpx.ConnectTimeout:
            if self._waiters == [future]:
                # Nobody else waits, and the next request should not join a dial that leads nowhere.
                for dial in self._dials:
                    dial.cancel()
            raise
        finally:
            self._waiters.remove(future)

    def _timeout(self, limit: str, seconds: float | None) -> Exception:
        if limit == "pool":
            return httpx.PoolTimeout(
                f"all {MAX_CONNECTIONS} connections to {self._origin} were in use for {seconds:g} s"
            )
        return httpx.ConnectTimeout(f"{self._origin} could not be connected within {seconds:g} s")

    def _wake_waiters(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    # Dialling.

    def _start_needed_dials(self) -> None:
        # HTTP/2 serves all who wait with one connection; so may a host that has not shown yet what it speaks.
        wanted = len(self._waiters) if self._one_each else min(1, len(self._waiters))
        while len(self._dials) < wanted and len(self._connections) + len(self._dials) < MAX_CONNECTIONS:
            self._start_dial()

    def _start_dial(self) -> None:
        loop = asyncio.get_running_loop()
        dial = loop.create_task(self._dial(), name=f"dial {self._origin}")
        self._dials.add(dial)
        timer = loop.call_later(DIAL_SECONDS, dial.cancel)
        dial.add_done_callback(lambda done: timer.cancel())
        dial.add_done_callback(self._dial_done)

    async def _dial(self) -> None:
        line = await self._dialler.dial(self._origin)
        connection = self._make(line)
        line.gate.hand_over(connection)
        # A peer that hung up meanwhile has been noticed by now, and the connection is not kept.
        if not connection.lost.done():
            self._connections.append(connection)
            self._one_each = not connection.http2
            self._changed(connection)

    def _make(self, line: Line) -> Connection:
        number, established = self._on_opened(), self._tick()
        if line.http2:
            from codestral_ls.api.transport.http2 import Http2Connection

            return Http2Connection(number, established, self._changed)
        authorization = None
        if line.forward is not None:
            authorization = basic_authorization(line.forward) or b""
        return Http1Connection(number, established, self._changed, authorization)

    def _dial_done(self, dial: asyncio.Task[None]) -> None:
        self._dials.discard(dial)
        error = None if dial.cancelled() else dial.exception()
        if error is None:
            # Those whom a dial that was given up leaves without one begin another.
            self._wake_waiters()
            return
        uncovered = len(self._waiters) - len(self._dials) if self._one_each else len(self._waiters)
        if self._waiters:
            self._fail_waiters(error, uncovered)
        else:
            logger.info("no connection to %s ahead of time: %s", self._origin, error)

    def _fail_waiters(self, error: BaseException, count: int) -> None:
        for waiter in [waiter for waiter in self._waiters if not waiter.done()][: max(0, count)]:
            waiter.set_exception(_copy(error))

    # What connections do.

    def _changed(self, connection: Connection) -> None:
        if connection in self._connections:
            if connection.given_up:
                self._leave(connection)
                self._replace()
            elif connection.lost.done():
                self._connections.remove(connection)
            elif not connection.busy and connection.idle_since is None:
                self._sweep()
        elif connection.lost.done():
            self._leaving.discard(connection)
        self._wake_waiters()

    def _leave(self, connection: Connection) -> None:
        self._connections.remove(connection)
        if not connection.lost.done():
            self._leaving.add(connection)

    def _replace(self) -> None:
        """Dial for a request to come, in place of a connection that a cancelled answer has cost."""
        idle = sum(connection.has_room for connection in self._connections)
        if not self._closed and idle + len(self._dials) - len(self._waiters) < MAX_SPARES:
            self._start_dial()

    def _sweep(self) -> None:
        """Note who has become idle, close who has been for too long, and come back when the next one will have."""
        if self._closed:
            return
        now = self._clock()
        for connection in list(self._connections):
            if connection.busy:
                connection.idle_since = None
            elif connection.idle_since is None:
                connection.idle_since = now
            elif now - connection.idle_since >= self._idle_seconds:
                self._leave(connection)
                connection.close()
        idle = [connection.idle_since for connection in self._connections if connection.idle_since is not None]
        if idle and self._sweep_timer is None:
            delay = max(0.0, min(idle) + self._idle_seconds - now)
            self._sweep_timer = asyncio.get_running_loop().call_later(delay, self._sweep_again)

    def _sweep_again(self) -> None:
        self._sweep_timer = None
        self._sweep()


def _copy(error: BaseException) -> BaseException:
    """One for each who waits: a raised exception collects a traceback and a request."""
    if not isinstance(error, httpx.TransportError):
        return error
    copy = type(error)(str(error))
    copy.__cause__ = error.__cause__
    return copy
