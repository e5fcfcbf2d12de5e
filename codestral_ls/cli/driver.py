"""A small LSP client: drives a real server process over stdio, as an editor does."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from codestral_ls.lsp.framing import FrameParser

SERVER = (sys.executable, "-m", "codestral_ls", "serve")


class Driver:
    """One server process and the conversation with it. `on_notification` gets method and params."""

    def __init__(self, on_notification: Callable[[str, Any], None]) -> None:
        self._on_notification = on_notification
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._next = 0
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int:
        """The server's process id; 0 before it was started."""
        return self._process.pid if self._process is not None else 0

    async def start(self, environment: Mapping[str, str], command: Sequence[str] = SERVER) -> None:
        """Starts the server; it inherits stderr."""
        self._process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, **environment},
        )
        self._reader = asyncio.create_task(self._read())

    async def request(self, method: str, params: object) -> Any:
        """The result of a request; None if the server refuses, cancels it, or is gone."""
        self._next += 1
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[self._next] = future
        self._send({"id": self._next, "method": method, "params": params})
        return await future

    def notify(self, method: str, params: object) -> None:
        """Sends a notification."""
        self._send({"method": method, "params": params})

    async def stop(self) -> int:
        """Ends the server as the protocol has it; its exit code."""
        assert self._process is not None
        assert self._reader is not None
        if self._process.returncode is None:
            await self.request("shutdown", None)
            self.notify("exit", None)
        code = await self._process.wait()
        await self._reader
        return code

    def _send(self, message: Mapping[str, object]) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        if not self._process.stdin.is_closing():
            self._process.stdin.write(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))

    async def _read(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        parser = FrameParser()
        while data := await self._process.stdout.read(1 << 16):
            for frame in parser.feed(data):
                if isinstance(frame, bytes):
                    self._receive(json.loads(frame))
        for future in self._waiting.values():
            if not future.done():
                future.set_result(None)

    def _receive(self, message: Mapping[str, Any]) -> None:
        if "method" in message:
            if "id" in message:
                self._send({"id": message["id"], "result": None})
            self._on_notification(message["method"], message.get("params"))
        elif (future := self._waiting.pop(message["id"], None)) is not None and not future.done():
            future.set_result(message.get("result"))
