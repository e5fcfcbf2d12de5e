"""From an origin to a connected line: proxy, TCP, TLS, and what was agreed in ALPN."""

from __future__ import annotations

import asyncio
import platform
import socket
import ssl
import sys
from dataclasses import dataclass

import httpx

from codestral_ls.api.transport.eyeballs import connect_socket
from codestral_ls.api.transport.options import NetworkOptions
from codestral_ls.api.transport.proxies import (
    PLATFORMS_WITH_SETTINGS,
    Proxy,
    bypassed_by_environment,
    environment_proxy,
    parse_proxy,
    platform_proxy,
)
from codestral_ls.api.transport.tls import TlsContexts


@dataclass(frozen=True)
class Origin:
    """Where a request goes. `host` is ASCII (IDNA applied), an IPv6 address without brackets."""

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, url: httpx.URL) -> Origin:
        """The origin of `url`. Raises httpx.UnsupportedProtocol if it is not http or https with a host."""
        if url.scheme not in ("http", "https"):
            raise httpx.UnsupportedProtocol(f"the address must start with https:// or http://, not {url.scheme!r}")
        if not url.host:
            raise httpx.UnsupportedProtocol("the address names no host")
        default = 443 if url.scheme == "https" else 80
        return cls(url.scheme, url.raw_host.decode("ascii"), url.port or default)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


@dataclass(frozen=True)
class Line:
    """A connected byte stream that is ready for HTTP. `forward` is the proxy that takes absolute-form requests."""

    gate: Gate
    http2: bool
    forward: Proxy | None


class Dialler:
    """Makes connections. `dial` raises httpx.ConnectError, httpx.ProxyError, from the error underneath.

    It has no time-out of its own: cancel it.
    """

    def __init__(self, network: NetworkOptions) -> None:
        self._network = network
        self._tls = TlsContexts(network)

    async def dial(self, origin: Origin) -> Line:
        proxy = await self._proxy_for(origin)
        if proxy is not None:
            return await self._dial_through(proxy, origin)
        context = await self._tls.get("h2", "http/1.1") if origin.scheme == "https" else None
        try:
            gate = await _connect(origin.host, origin.port, context)
        except OSError as error:
            raise _connect_error(str(origin), error) from error
        return Line(gate, _speaks_http2(gate), forward=None)

    async def _proxy_for(self, origin: Origin) -> Proxy | None:
        setting = self._network.proxy
        try:
            if setting == "none":
                return None
            if setting != "system":
                return parse_proxy(setting)
            environment = self._network.environment
            if bypassed_by_environment(origin.host, origin.port, environment):
                return None
            found = environment_proxy(origin.scheme, origin.host, origin.port, environment)
            if found is None and platform.system() in PLATFORMS_WITH_SETTINGS:
                loop = asyncio.get_running_loop()
                found = await loop.run_in_executor(None, platform_proxy, origin.scheme, origin.host)
            return found
        except ValueError as error:
            raise httpx.ProxyError(str(error)) from error

    async def _dial_through(self, proxy: Proxy, origin: Origin) -> Line:
        if proxy.scheme == "https" and origin.scheme == "https" and sys.version_info < (3, 11):
            raise httpx.ProxyError(f"an https:// proxy ({proxy}) needs Python 3.11 or later; use its http:// port")
        context = await self._tls.get("http/1.1") if proxy.scheme == "https" else None
        try:
            gate = await _connect(proxy.host, proxy.port, context)
        except OSError as error:
            cause = _connect_error(f"the proxy {proxy}", error)
            raise httpx.ProxyError(str(cause)) from error
        try:
            if proxy.scheme != "socks5" and origin.scheme == "http":
                return Line(gate, http2=False, forward=proxy)
            await _negotiate(gate, proxy, origin)
            if origin.scheme == "https":
                inner = await self._tls.get("h2", "http/1.1")
                try:
                    await gate.start_tls(inner, origin.host)
                except OSError as error:
                    raise _connect_error(f"{origin} through the proxy {proxy}", error) from error
        except BaseException:
            gate.abort()
            raise
        return Line(gate, _speaks_http2(gate), forward=None)


class Gate(asyncio.Protocol):
    """Owns a connection until HTTP does, and keeps for it what arrives meanwhile (a server's first SETTINGS)."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._lost: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._successor: asyncio.Protocol | None = None

    @property
    def transport(self) -> asyncio.Transport:
        assert self._transport is not None, "the gate is used only once connected"
        return self._transport

    async def exchange(self, data: bytes) -> bytes:
        """Send `data` and give what arrives next, at least one byte. Raises OSError when the peer hangs up."""
        if data:
            self.transport.write(data)
        if not self._received and self._lost is None:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        if not self._received:
            raise self._lost or ConnectionResetError("the connection was closed")
        received = bytes(self._received)
        self._received.clear()
        return received

    async def start_tls(self, context: ssl.SSLContext, host: str) -> None:
        """Raises OSError (ssl.SSLError is one) when the handshake fails."""
        if self._lost is not None:
            raise self._lost
        loop = asyncio.get_running_loop()
        transport = await loop.start_tls(self.transport, self, context, server_hostname=host)
        if transport is None:  # asyncio's answer when the peer hung up just before
            raise self._lost or ConnectionResetError("the connection was closed")
        self._transport = transport

    def hand_over(self, successor: asyncio.Protocol) -> None:
        """Make `successor` the owner and let it catch up with what has happened."""
        self._successor = successor
        successor.connection_made(self.transport)
        self.transport.set_protocol(successor)
        if self._received:
            successor.data_received(bytes(self._received))
        if self._lost is not None:
            successor.connection_lost(self._lost)

    def abort(self) -> None:
        # A handshake that was cancelled in its last step leaves a TLS transport that only its protocol knows, and
        # that Python 3.10 reports as leaked.
        unfinished = getattr(self.transport.get_protocol(), "_app_transport", None)
        if unfinished is not None:
            unfinished.abort()
        self.transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if self._successor is not None:
            self._successor.data_received(data)
            return
        self._received += data
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        # Python 3.10 delivers this to the protocol that was set when the closing began.
        if self._successor is not None:
            self._successor.connection_lost(exc)
            return
        self.transport.close()  # for Python 3.10, as in Connection
        self._lost = exc or ConnectionResetError("the connection was closed")
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


async def _connect(host: str, port: int, context: ssl.SSLContext | None) -> Gate:
    loop = asyncio.get_running_loop()
    connected = await connect_socket(host, port)
    _, gate = await loop.create_connection(Gate, sock=connected)
    if context is not None:
        # Not by create_connection: cancelled between the socket and the handshake, that leaves the socket open.
        try:
            await gate.start_tls(context, host)
        except BaseException:
            gate.abort()
            raise
    return gate


async def _negotiate(gate: Gate, proxy: Proxy, origin: Origin) -> None:
    from codestral_ls.api.transport.tunnel import ConnectTunnel, ProxyRefusal, Socks5Tunnel

    kind = Socks5Tunnel if proxy.scheme == "socks5" else ConnectTunnel
    tunnel = kind(proxy, origin.host, origin.port)
    try:
        out = tunnel.greeting()
        while not tunnel.done:
            out = tunnel.feed(await gate.exchange(out))
    except ProxyRefusal as error:
        raise httpx.ProxyError(f"the proxy {proxy} does not lead to {origin}: {error}") from error
    except OSError as error:
        raise httpx.ProxyError(f"the proxy {proxy} hung up before it led to {origin}") from error


def _speaks_http2(gate: Gate) -> bool:
    tls = gate.transport.get_extra_info("ssl_object")
    return tls is not None and tls.selected_alpn_protocol() == "h2"


def _connect_error(what: str, error: OSError) -> httpx.ConnectError:
    if isinstance(error, ssl.SSLCertVerificationError):
        return httpx.ConnectError(f"the certificate of {what} is not trusted: {error.verify_message}")
    if isinstance(error, ssl.SSLError):
        return httpx.ConnectError(f"TLS with {what} failed: {error.reason or error}")
    if isinstance(error, socket.gaierror):
        return httpx.ConnectError(f"the host name of {what} cannot be resolved: {error.strerror}")
    reason = error.strerror or str(error) or "the connection was closed"
    return httpx.ConnectError(f"{what} cannot be reached: {reason}")
