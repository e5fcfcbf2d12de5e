"""Builds the server and runs it, on stdio or on one TCP connection."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import IO, Any

from lsprotocol import types
from pygls.io_ import StdoutWriter
from pygls.lsp.server import LanguageServer

from codestral_ls import __version__
from codestral_ls.lsp import inline, menu
from codestral_ls.lsp.clients import profile_of
from codestral_ls.lsp.framing import FrameParser, Garbage
from codestral_ls.lsp.protocol import Protocol
from codestral_ls.lsp.session import Session
from codestral_ls.lsp.trace import tracer
from codestral_ls.settings.masking import KeyFilter
from codestral_ls.text.columns import PositionEncoding

logger = logging.getLogger(__name__)

READ_BYTES = 1 << 16
PARENT_SECONDS = 2.0
"""How often the editor's process is looked for: its pipe may be held open by a child that outlives it."""
LAST_SECONDS = 2.0
"""What the server has for its end once the editor's process is gone."""


class Server(LanguageServer):
    """One connection: pygls' server with our protocol and our session."""

    protocol: Protocol

    def __init__(self, environment: Mapping[str, str], log_level: str | None = None) -> None:
        super().__init__("codestral-ls", __version__, protocol_cls=Protocol)
        self.watched: int | None = None
        """The editor's process, if it can be seen from here."""
        self.session = Session(self.protocol, environment, log_level=log_level)
        _register(self)

    def report_server_error(self, error: Exception, source: Any) -> None:
        """Logs. pygls shows a message to the user, who can do nothing about it."""
        logger.error("%s: %s", getattr(source, "__name__", source), error)


def _register(server: Server) -> None:
    session, protocol = server.session, server.protocol

    @server.feature(types.INITIALIZE)
    def initialize(params: types.InitializeParams) -> None:
        profile = profile_of(params.client_info, params.capabilities)
        encoding = PositionEncoding(types.PositionEncodingKind(protocol.workspace.position_encoding).value)
        protocol.trace = params.trace or types.TraceValue.Off
        session.started(params, profile, encoding)
        # Not seen alive now, it lives in another container, and says nothing by being absent from this one.
        if params.process_id is not None and params.process_id > 0 and _is_alive(params.process_id):
            server.watched = params.process_id
        if not profile.inline:
            server.feature(types.TEXT_DOCUMENT_COMPLETION, menu.options())(
                lambda params: menu.completion(session, params)
            )

    @server.feature(types.INITIALIZED)
    def initialized(_params: types.InitializedParams) -> None:
        session.later(session.ready())
        workspace = protocol.client_capabilities.workspace
        changes = workspace.did_change_configuration if workspace else None
        if changes is not None and changes.dynamic_registration:
            registration = types.Registration(
                "codestral-ls.settings", types.WORKSPACE_DID_CHANGE_CONFIGURATION, {"section": "codestral"}
            )
            session.later(
                protocol.ask_client(types.CLIENT_REGISTER_CAPABILITY, types.RegistrationParams([registration]))
            )

    @server.feature(types.WORKSPACE_DID_CHANGE_CONFIGURATION)
    def settings_changed(params: types.DidChangeConfigurationParams) -> None:
        session.later(session.settings_changed(params.settings))

    @server.feature(types.WORKSPACE_DID_CHANGE_WORKSPACE_FOLDERS)
    def folders_changed(params: types.DidChangeWorkspaceFoldersParams) -> None:
        session.folders_changed(params.event)

    @server.feature(types.TEXT_DOCUMENT_INLINE_COMPLETION, types.InlineCompletionOptions())
    def inline_completion(params: types.InlineCompletionParams) -> Any:
        return inline.inline_completion(session, params)

    @server.command(inline.ACCEPTED_COMMAND)
    def accepted(*_arguments: object) -> None:
        logger.debug("a suggestion was accepted")


def run_stdio(
    environment: Mapping[str, str],
    logs: logging.Handler,
    *,
    log_level: str | None = None,
    trace: IO[str] | None = None,
) -> int:
    """Serves on stdin and stdout until the editor says exit or is gone. The process's exit code."""
    out, sys.stdout = sys.stdout.buffer, sys.stderr  # a stray print must not break the protocol

    async def serve() -> int:
        loop = asyncio.get_running_loop()
        connection = Connection(_server(environment, logs, log_level), StdoutWriter(out))
        if trace is not None:
            connection.trace_to(trace, environment)
        # Daemon, on the bare descriptor: a read that never returns must not hold up the end of the process.
        threading.Thread(target=_read, args=(sys.stdin.fileno(), loop, connection.feed), daemon=True).start()
        return await connection.ended()

    return asyncio.run(serve())


def run_tcp(
    environment: Mapping[str, str],
    logs: logging.Handler,
    host: str,
    port: int,
    *,
    log_level: str | None = None,
    trace: IO[str] | None = None,
) -> int:
    """Serves one client on a TCP port, says on stderr where, and ends with it. The process's exit code.

    Raises OSError if it cannot listen there.
    """

    async def serve() -> int:
        done: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            listener.close()
            connection = Connection(_server(environment, logs, log_level), writer)
            if trace is not None:
                connection.trace_to(trace, environment)
            reading = asyncio.create_task(_read_stream(reader, connection.feed))
            code = await connection.ended()
            reading.cancel()
            writer.close()
            if not done.done():
                done.set_result(code)

        listener = await asyncio.start_server(connected, host, port)
        where = listener.sockets[0].getsockname()
        print(f"codestral-ls: listening on {where[0]}:{where[1]}", file=sys.stderr, flush=True)  # noqa: T201
        return await done

    return asyncio.run(serve())


def _server(environment: Mapping[str, str], logs: logging.Handler, log_level: str | None) -> Server:
    server = Server(environment, log_level)
    logs.addFilter(KeyFilter(server.session.known_keys))
    return server


class Connection:
    """A server at work: takes the editor's bytes, and lives until the editor says exit or is gone."""

    def __init__(self, server: Server, writer: Any) -> None:
        self._server = server
        self._parser = FrameParser()
        self._stopped = asyncio.Event()
        server.protocol.on_exit = self._stopped.set
        server.protocol.set_writer(writer)

    def trace_to(self, file: IO[str], environment: Mapping[str, str]) -> None:
        """From now on every message is written to `file`, without keys."""
        self._server.protocol.on_trace = tracer(file, self._server.session.known_keys, environment)

    def feed(self, data: bytes) -> None:
        """Handles what the editor sent, in order; no bytes mean that it is gone."""
        if not data:
            self._stopped.set()
        for frame in self._parser.feed(data):
            if self._stopped.is_set():
                return
            if isinstance(frame, Garbage):
                logger.warning("The editor sent something that is no message (%s)", frame.reason)
            else:
                self._server.protocol.receive(frame)

    async def ended(self) -> int:
        """Waits for the end and cleans up. The exit code: 0 after a shutdown, else 1."""
        loop, ended = asyncio.get_running_loop(), threading.Event()

        def parent_gone() -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: the server has ended
                loop.call_soon_threadsafe(self._lose_parent)

        threading.Thread(target=_watch_parent, args=(self._server, ended, parent_gone), daemon=True).start()
        await self._stopped.wait()
        await self._server.session.aclose()
        ended.set()
        return 0 if self._server.protocol.is_shut_down else 1

    def _lose_parent(self) -> None:
        logger.info("The editor's process is gone")
        self._stopped.set()


def _read(descriptor: int, loop: asyncio.AbstractEventLoop, feed: Callable[[bytes], None]) -> None:
    data = b"?"
    while data:
        try:
            data = os.read(descriptor, READ_BYTES)
        except OSError:
            data = b""
        try:
            loop.call_soon_threadsafe(feed, data)
        except RuntimeError:
            return  # the loop is closed: the server has ended


async def _read_stream(reader: asyncio.StreamReader, feed: Callable[[bytes], None]) -> None:
    data = b"?"
    while data:
        try:
            data = await reader.read(READ_BYTES)
        except OSError:
            data = b""
        feed(data)


def _watch_parent(server: Server, ended: threading.Event, parent_gone: Callable[[], None]) -> None:
    """Ends the server when the editor's process is gone although its pipe is still open.

    In a thread of its own: where nobody reads our output, the loop is stuck in a write, and so is the log.
    """
    while not ended.wait(PARENT_SECONDS):
        if server.watched is not None and not _is_alive(server.watched):
            parent_gone()
            time.sleep(LAST_SECONDS)
            os._exit(1)


def _is_alive(pid: int) -> bool:
    if sys.platform == "win32":
        return True  # signal 0 would end the process there; the end of its pipe is the sign
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
