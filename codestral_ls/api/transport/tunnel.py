"""What is said to a proxy before the connection leads to the host: HTTP CONNECT and SOCKS5, without any I/O.

A negotiation starts with `greeting()`, is fed what arrives, and returns what to send back; it is over when `done`.
"""

from __future__ import annotations

import ipaddress
from typing import Protocol

from socksio import ProtocolError, socks5

from codestral_ls.api.transport.proxies import Proxy, basic_authorization

# A proxy's refusal page may be long, but its head is not; more than this is no proxy.
_MAX_HEAD = 64 * 1024


class ProxyRefusal(Exception):
    """The proxy declined or does not speak its protocol; the message says which status it gave."""


class Negotiation(Protocol):
    """A conversation with a proxy. `feed` raises ProxyRefusal."""

    done: bool

    def greeting(self) -> bytes: ...
    def feed(self, data: bytes) -> bytes: ...


class ConnectTunnel:
    """HTTP CONNECT (RFC 9110, section 9.3.6)."""

    def __init__(self, proxy: Proxy, host: str, port: int) -> None:
        self.done = False
        self._proxy = proxy
        self._target = (f"[{host}]:{port}" if ":" in host else f"{host}:{port}").encode("ascii")
        self._received = bytearray()

    def greeting(self) -> bytes:
        lines = [b"CONNECT " + self._target + b" HTTP/1.1", b"Host: " + self._target]
        authorization = basic_authorization(self._proxy)
        if authorization is not None:
            lines.append(b"Proxy-Authorization: " + authorization)
        return b"\r\n".join([*lines, b"", b""])

    def feed(self, data: bytes) -> bytes:
        self._received += data
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            if len(self._received) > _MAX_HEAD:
                raise ProxyRefusal("its answer to CONNECT does not end")
            return b""
        status_line = bytes(self._received[: self._received.index(b"\r\n")]).decode("latin-1")
        version, _, status = status_line.partition(" ")
        if not version.startswith("HTTP/1.") or not status[:3].isdigit():
            raise ProxyRefusal("it does not answer like an HTTP proxy")
        if 100 <= int(status[:3]) < 200:
            del self._received[: end + 4]
            return self.feed(b"")
        if not 200 <= int(status[:3]) < 300:
            raise ProxyRefusal(f"it answered CONNECT with {status.strip()}")
        if len(self._received) > end + 4:
            # The host speaks second in TLS, so these bytes come from the proxy and would corrupt the handshake.
            raise ProxyRefusal("it sent data after its answer to CONNECT")
        self.done = True
        return b""


class Socks5Tunnel:
    """SOCKS5 (RFC 1928) with user name and password (RFC 1929) if the proxy's URL has them."""

    def __init__(self, proxy: Proxy, host: str, port: int) -> None:
        self.done = False
        self._proxy = proxy
        self._address = (host, port)
        self._connection = socks5.SOCKS5Connection()
        self._received = bytearray()

    def greeting(self) -> bytes:
        methods = [socks5.SOCKS5AuthMethod.NO_AUTH_REQUIRED]
        if self._proxy.username is not None:
            methods.append(socks5.SOCKS5AuthMethod.USERNAME_PASSWORD)
        self._connection.send(socks5.SOCKS5AuthMethodsRequest(methods))
        return self._connection.data_to_send()

    def feed(self, data: bytes) -> bytes:
        self._received += data
        out = b""
        # socksio wants exactly one whole reply at a time, so the cutting is done here.
        while not self.done and (size := self._reply_size()) and len(self._received) >= size:
            reply, self._received = bytes(self._received[:size]), self._received[size:]
            out += self._advance(reply)
        return out

    def _reply_size(self) -> int:
        """How long the reply that has begun to arrive is; 0 if that cannot be told yet."""
        if self._connection.state is not socks5.SOCKS5State.CLIENT_AUTHENTICATED:
            return 2
        if len(self._received) < 5:
            return 0
        lengths = {1: 4, 3: 1 + self._received[4], 4: 16}
        if self._received[3] not in lengths:
            raise ProxyRefusal("it does not answer like a SOCKS5 proxy")
        return 4 + lengths[self._received[3]] + 2

    def _advance(self, reply: bytes) -> bytes:
        # Of the three replies only that to the password has a version of its own; socksio does not look at it.
        version = 1 if self._connection.state is socks5.SOCKS5State.SERVER_VERIFY_USERNAME_PASSWORD else 5
        if reply[0] != version:
            raise ProxyRefusal("it does not answer like a SOCKS5 proxy")
        try:
            answer = self._connection.receive_data(reply)
        except (ProtocolError, ValueError) as error:
            raise ProxyRefusal("it does not answer like a SOCKS5 proxy") from error
        if isinstance(answer, socks5.SOCKS5AuthReply):
            return self._after_method(answer.method)
        if isinstance(answer, socks5.SOCKS5UsernamePasswordReply):
            if not answer.success:
                raise ProxyRefusal("it rejected the user name or password")
            return self._request()
        if answer.reply_code is not socks5.SOCKS5ReplyCode.SUCCEEDED:
            reason = answer.reply_code.name.replace("_", " ").lower()
            raise ProxyRefusal(f"it answered SOCKS5 status {answer.reply_code.value[0]} ({reason})")
        self.done = True
        return b""

    def _after_method(self, method: object) -> bytes:
        methods = socks5.SOCKS5AuthMethod
        if method is methods.NO_AUTH_REQUIRED:
            return self._request()
        if method is methods.USERNAME_PASSWORD and self._proxy.username is not None:
            user, password = self._proxy.username.encode(), (self._proxy.password or "").encode()
            if len(user) > 255 or len(password) > 255:
                raise ProxyRefusal("SOCKS5 takes no user name or password above 255 bytes")
            self._connection.send(socks5.SOCKS5UsernamePasswordRequest(user, password))
            return self._connection.data_to_send()
        raise ProxyRefusal("it asks for a user name and password")

    def _request(self) -> bytes:
        host, port = self._address
        kind = socks5.SOCKS5AType.DOMAIN_NAME
        packed = host.encode("ascii")
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            pass
        else:
            v4 = address.version == 4
            kind = socks5.SOCKS5AType.IPV4_ADDRESS if v4 else socks5.SOCKS5AType.IPV6_ADDRESS
            packed = address.packed
        self._connection.send(socks5.SOCKS5CommandRequest(socks5.SOCKS5Command.CONNECT, kind, packed, port))
        return self._connection.data_to_send()
