"""A small proxy on loopback for tests: HTTP (CONNECT and forwarding) or SOCKS5, with TLS and a password if asked."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ssl
import threading
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Seen:
    """One request to the proxy: how it was asked (`CONNECT`, `GET`, …, `SOCKS5`) and where it was to lead."""

    method: str
    target: str
    authorization: str | None = None


class ProxyServer:
    """Starts with `with`, on a free port of 127.0.0.1. `status` other than 200 refuses every CONNECT with it.

    Whatever host is asked for, the proxy leads to 127.0.0.1, so that names which do not exist can be used.
    """

    def __init__(
        self,
        kind: str = "http",
        *,
        credentials: tuple[str, str] | None = None,
        status: str = "200 Connection established",
        context: ssl.SSLContext | None = None,
    ) -> None:
        self.seen: list[Seen] = []
        self.port = 0
        self._kind = kind
        self._credentials = credentials
        self._status = status
        self._context = context
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="proxy-server", daemon=True)

    def url(self, scheme: str | None = None, userinfo: str = "") -> str:
        return f"{scheme or self._kind}://{userinfo and userinfo + '@'}127.0.0.1:{self.port}"

    def __enter__(self) -> ProxyServer:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        self._tasks: set[asyncio.Task[Any]] = set()
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self._context)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await (self._socks(reader, writer) if self._kind == "socks5" else self._http(reader, writer))
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    async def _http(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ")
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        authorization = fields.get("proxy-authorization")
        self.seen.append(Seen(method, target, authorization))
        if self._credentials:
            wanted = "Basic " + base64.b64encode(":".join(self._credentials).encode()).decode()
            if authorization != wanted:
                writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
                await writer.drain()
                return
        if method == "CONNECT":
            writer.write(f"HTTP/1.1 {self._status}\r\n\r\n".encode())
            if self._status.startswith("2"):
                await self._splice(reader, writer, int(target.rpartition(":")[2]))
            else:
                await writer.drain()
            return
        host_port, _, path = target.partition("://")[2].partition("/")
        kept = [line for line in lines if line and not line.lower().startswith("proxy-")]
        first_bytes = "\r\n".join([f"{method} /{path} HTTP/1.1", *kept, "", ""]).encode("latin-1")
        await self._splice(reader, writer, int(host_port.rpartition(":")[2]), first_bytes)

    async def _socks(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _, count = await reader.readexactly(2)
        methods = await reader.readexactly(count)
        user = None
        if self._credentials:
            if 2 not in methods:
                writer.write(b"\x05\xff")
                await writer.drain()
                return
            writer.write(b"\x05\x02")
            _, length = await reader.readexactly(2)
            user = (await reader.readexactly(length)).decode()
            password = (await reader.readexactly((await reader.readexactly(1))[0])).decode()
            good = (user, password) == self._credentials
            writer.write(b"\x01\x00" if good else b"\x01\x01")
            if not good:
                await writer.drain()
                return
        else:
            writer.write(b"\x05\x00")
        kind = (await reader.readexactly(4))[3]
        if kind == 3:
            host = (await reader.readexactly((await reader.readexactly(1))[0])).decode()
        else:
            host = str(await reader.readexactly(4 if kind == 1 else 16))
        port = int.from_bytes(await reader.readexactly(2), "big")
        self.seen.append(Seen("SOCKS5", f"{host}:{port}", user))
        if not self._status.startswith("2"):
            writer.write(b"\x05\x02\x00\x01\x00\x00\x00\x00\x00\x00")
            await writer.drain()
            return
        writer.write(b"\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x00")
        await self._splice(reader, writer, port)

    async def _splice(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int, first: bytes = b""
    ) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        far_writer.write(first)
        ways = {
            asyncio.ensure_future(self._pump(reader, far_writer)),
            asyncio.ensure_future(self._pump(far_reader, writer)),
        }
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            far_writer.transport.abort()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(64 * 1024):
            writer.write(data)
            await writer.drain()
