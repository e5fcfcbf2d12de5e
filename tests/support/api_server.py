"""A scripted Mistral API on loopback (plain HTTP/1.1, in threads) for tests that need a real network and real
bodies: `with ScriptedApi() as api:`, then `api.script = Answer("…")`, `api.url` and `api.requests`.
It refuses what Mistral refuses."""

from __future__ import annotations

import contextlib
import json
import select
import socket
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType

from support import mistral_wire as wire
from support.mistral_wire import Failure, Json

DEFAULT_KEY = "test-key-0123456789"


@dataclass(frozen=True)
class Answer:
    """A completion: its text, and how it comes. Like the real API it stops at the request's `stop` and `max_tokens`."""

    text: str
    first_after: float = 0.0  # seconds before the first event (or the whole body)
    pace: float = 0.0  # seconds between events
    piece: int = 4  # characters in an event
    endless: bool = False  # the text again and again, until the client hangs up
    headers: Mapping[str, str] = field(default_factory=dict)


Reply = Answer | Failure
Script = Reply | Callable[["Request"], Reply]


@dataclass
class Request:
    """One request as it came, and how it went."""

    method: str
    path: str
    headers: Mapping[str, str]  # names in lower case
    body: Json
    hung_up: threading.Event = field(default_factory=threading.Event)  # the client left before the answer was whole
    finished: threading.Event = field(default_factory=threading.Event)  # answered, or hung up

    @property
    def prompt(self) -> str:
        """The text before the cursor, or the last message of a chat."""
        return str(self.body["prompt"] if "prompt" in self.body else self.body["messages"][-1]["content"])

    @property
    def suffix(self) -> str:
        """The text after the cursor."""
        return self.body.get("suffix") or ""


class ScriptedApi:
    """The server. `script` is what every completion request gets, or a function from the request to that; it may be
    replaced at any time. `key` is the one bearer key that is taken."""

    def __init__(self, script: Script | None = None, *, key: str = DEFAULT_KEY) -> None:
        self.script: Script = script if script is not None else Answer("")
        self.key = key
        self._requests: list[Request] = []
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), name="scripted-api")

    @property
    def url(self) -> str:
        """Scheme, host and port, without a path."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def requests(self) -> list[Request]:
        """Every request so far, the refused ones too, in the order of arrival."""
        with self._lock:
            return list(self._requests)

    @property
    def completions(self) -> list[Request]:
        """The requests for a completion (FIM or chat)."""
        return [request for request in self.requests if request.path in (wire.FIM_PATH, wire.CHAT_PATH)]

    def __enter__(self) -> ScriptedApi:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.disconnect()
        self._server.server_close()  # joins the connections' threads

    def reply(self, request: Request) -> Reply | Json:
        """What this request gets: a reply, or the body of a plain 200."""
        with self._lock:
            self._requests.append(request)
        if request.headers.get("authorization") != f"Bearer {self.key}":
            return wire.WRONG_KEY
        if request.method == "GET" and request.path == wire.MODELS_PATH:
            return wire.model_list()
        if request.method != "POST" or request.path not in (wire.FIM_PATH, wire.CHAT_PATH):
            return wire.NOT_FOUND
        if refusal := wire.refusal(request.path, request.body):
            return refusal
        return self.script(request) if callable(self.script) else self.script


def writes(document: str) -> Callable[[Request], Answer]:
    """A model that has `document` in mind: it completes what begins and ends like it, and has nothing else to say."""

    def script(request: Request) -> Answer:
        prompt, suffix = request.prompt, request.suffix
        fits = len(prompt) + len(suffix) <= len(document) and document.startswith(prompt) and document.endswith(suffix)
        return Answer(document[len(prompt) : len(document) - len(suffix)] if fits else "")

    return script


class _Server(ThreadingHTTPServer):
    """Knows its open connections, so that the end of a test need not wait for a keep-alive to end."""

    daemon_threads = False
    block_on_close = True

    def __init__(self, address: tuple[str, int], api: ScriptedApi) -> None:
        super().__init__(address, _Handler)
        self.api = api
        self.closing = threading.Event()
        self._open: set[socket.socket] = set()
        self._open_lock = threading.Lock()

    def connected(self, connection: socket.socket) -> None:
        with self._open_lock:
            self._open.add(connection)

    def disconnected(self, connection: socket.socket) -> None:
        with self._open_lock:
            self._open.discard(connection)

    def disconnect(self) -> None:
        self.closing.set()
        with self._open_lock:
            for connection in self._open:
                with contextlib.suppress(OSError):  # the client was faster
                    connection.shutdown(socket.SHUT_RDWR)


class _HungUp(Exception):
    """The client closed the connection, or the test is over."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Headers and body are two writes; with Nagle's algorithm the second waits 40 ms for the first's acknowledgement.
    disable_nagle_algorithm = True
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.server.connected(self.connection)

    def finish(self) -> None:
        self.server.disconnected(self.connection)
        with contextlib.suppress(OSError):  # flushing to a client that has gone
            super().finish()

    def handle(self) -> None:
        try:
            super().handle()
        except OSError:
            self.close_connection = True  # reset by the client between two requests

    def do_GET(self) -> None:
        self._answer(None)

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("content-length", 0)))
        try:
            self._answer(json.loads(raw))
        except json.JSONDecodeError:
            self._answer(raw.decode("utf-8", "replace"))

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: a test looks at `requests`."""

    def _answer(self, body: Json) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, self.path, headers, body)
        try:
            reply = self.server.api.reply(request)
            if isinstance(reply, Failure):
                self._whole(reply.status, reply.body, reply.content_type, reply.headers)
            elif not isinstance(reply, Answer):
                self._whole(200, json.dumps(reply).encode(), "application/json", {})
            elif body.get("stream"):
                self._stream(request, reply)
            else:
                self._pause(reply.first_after)
                text, reason = wire.cut(reply.text, body)
                answer = wire.answer_body(body["model"], request.prompt, text, reason)
                self._whole(200, json.dumps(answer).encode(), "application/json", reply.headers)
        except (_HungUp, OSError):
            request.hung_up.set()
            self.close_connection = True
        finally:
            request.finished.set()

    def _whole(self, status: int, body: bytes, content_type: str, headers: Mapping[str, str]) -> None:
        self._head(status, {"content-type": content_type, "content-length": str(len(body)), **headers})
        self.wfile.write(body)

    def _stream(self, request: Request, answer: Answer) -> None:
        self._head(
            200,
            {
                "content-type": "text/event-stream; charset=utf-8",
                "transfer-encoding": "chunked",
                **answer.headers,
            },
        )
        model, endless = request.body["model"], answer.endless
        text, reason = (answer.text, "") if endless else wire.cut(answer.text, request.body)
        pieces = [text[at : at + answer.piece] for at in range(0, len(text), answer.piece)]
        if endless:
            events = wire.endless_events(model, pieces)
        else:
            events = wire.stream_events(model, request.prompt, pieces, reason)
        self._pause(answer.first_after)
        for event in events:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(event), event))
            self._pause(answer.pace)
        self.wfile.write(b"0\r\n\r\n")

    def _head(self, status: int, headers: Mapping[str, str]) -> None:
        usual = {**wire.RATE_LIMIT_HEADERS, "mistral-correlation-id": str(uuid.uuid4())}
        self.send_response(status)
        for name, value in {**usual, **headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def _pause(self, seconds: float) -> None:
        """Wait, and notice at once if the client hangs up meanwhile."""
        end = time.monotonic() + seconds
        while True:
            left = end - time.monotonic()
            readable, _, _ = select.select([self.connection], [], [], max(0.0, min(left, 0.05)))
            if self.server.closing.is_set():
                raise _HungUp
            if readable:
                if not self.connection.recv(1, socket.MSG_PEEK):
                    raise _HungUp
                time.sleep(max(0.0, min(left, 0.05)))  # the next request waits behind this one
            if left <= 0:
                return
