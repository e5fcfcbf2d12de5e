"""A test's own LSP client: starts the real server process and talks to it, over stdio or TCP, from plain functions.

    with LspClient(home, {"CODESTRAL_LS_BASE_URL": api.url}) as client:
        client.initialize()
        client.open("file:///a.py", "x = ")
        assert client.complete("file:///a.py", 0, 4) == [...]

It shares no code with the server. Every wait ends with what it waits for, or fails after `LIMIT` seconds.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any

LIMIT = 30.0
"""Seconds until a wait has failed. Generous: a loaded machine is no defect of the server."""

SERVER = (sys.executable, "-m", "codestral_ls")

INLINE: Mapping[str, Any] = {"textDocument": {"inlineCompletion": {}}}
"""The capabilities of a client with inline completion and nothing else."""


@dataclass(frozen=True)
class RpcError(Exception):
    """An error as an answer; also what a table of answers holds to refuse a request of the server."""

    code: int
    message: str = ""


class Silence:
    """In a table of answers: the request of the server stays unanswered."""


Answer = Any  # a value, an RpcError, Silence, or a function from the params to one of these


@dataclass
class Pending:
    """A request that was sent. `answers` holds every message that came with its id."""

    client: LspClient
    id: int | str
    answers: list[dict[str, Any]] = field(default_factory=list)

    def answer(self) -> dict[str, Any]:
        """The answer as it came, waited for."""
        self.client.wait_for(lambda: self.answers, f"an answer to request {self.id}")
        return self.answers[0]

    def result(self) -> Any:
        """The result, waited for. Raises RpcError."""
        answer = self.answer()
        if "error" in answer:
            raise RpcError(answer["error"]["code"], answer["error"]["message"])
        return answer["result"]

    def error(self) -> RpcError:
        """The error, waited for. Fails if there was none."""
        answer = self.answer()
        assert "error" in answer, f"no error but {answer}"
        return RpcError(answer["error"]["code"], answer["error"]["message"])


StartServer = Callable[..., "LspClient"]
"""The type of the fixture that starts servers."""

Run = Callable[..., "subprocess.CompletedProcess[str]"]
"""The type of the fixture that runs commands."""


def private_environment(home: Path, variables: Mapping[str, str] | None = None) -> dict[str, str]:
    """An environment whose home, and all folders that hang on it, is `home`: nothing of the real user is seen."""
    kept = {
        name: os.environ[name] for name in ("PATH", "PYTHONPATH", "LANG", "SYSTEMROOT", "TMPDIR") if name in os.environ
    }
    folders = {f"XDG_{kind}_HOME": str(home / kind.lower()) for kind in ("CONFIG", "STATE", "CACHE", "DATA")}
    # The loopback is where the scripted APIs are; a proxy of the machine has no business there.
    return {**kept, "HOME": str(home), **folders, "NO_PROXY": "127.0.0.1,localhost", **(variables or {})}


def write_config(home: Path, text: str) -> Path:
    """Puts the user's `config.toml` under `home`."""
    path = home / "config" / "codestral-ls" / "config.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def frame(message: object) -> bytes:
    """A message as it goes over the wire; bytes are taken as the body."""
    body = message if isinstance(message, bytes) else json.dumps(message).encode()
    return b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


class LspClient:
    """One server process and the conversation with it. Leaving the `with` block ends the process.

    `answers` tells by method what the server's own requests get; what is not in it is refused with -32601.
    """

    def __init__(
        self,
        home: Path,
        variables: Mapping[str, str] | None = None,
        *,
        arguments: Sequence[str] = ("serve",),
        tcp: bool = False,
    ) -> None:
        self.answers: dict[str, Answer] = {}
        self.notifications: list[tuple[str, Any]] = []
        self.requests: list[tuple[str, Any]] = []
        self.strays: list[dict[str, Any]] = []
        """Answers with an id that nobody asked with (null, when the server could not read one)."""
        self._pending: dict[int | str, Pending] = {}
        self._next_id = 0
        self._versions: dict[str, int] = {}
        self._news = threading.Condition()
        self._err = bytearray()
        self._ended = False
        folder = home / "work"
        folder.mkdir(parents=True, exist_ok=True)
        self.process = subprocess.Popen(
            [*SERVER, *arguments, *(("--tcp", "127.0.0.1:0") if tcp else ())],
            stdin=subprocess.DEVNULL if tcp else subprocess.PIPE,
            stdout=subprocess.DEVNULL if tcp else subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=private_environment(home, variables),
            cwd=folder,
        )
        assert self.process.stderr is not None
        self._threads = [threading.Thread(target=self._read_stderr, args=(self.process.stderr,), daemon=True)]
        self._threads[0].start()
        self._socket = self._connect() if tcp else None
        if self._socket is not None:
            self._input: IO[bytes] = self._socket.makefile("wb", buffering=0)
            self._output: IO[bytes] = self._socket.makefile("rb")
        else:
            assert self.process.stdin is not None
            assert self.process.stdout is not None
            self._input, self._output = self.process.stdin, self.process.stdout
        self._threads.append(threading.Thread(target=self._read, daemon=True))
        self._threads[1].start()

    # The conversation

    def request(self, method: str, params: object = None) -> Pending:
        """Sends a request."""
        pending, message = self.prepare(method, params)
        self.send(message)
        return pending

    def ask(self, method: str, params: object = None) -> Any:
        """Sends a request and waits for its result. Raises RpcError."""
        return self.request(method, params).result()

    def notify(self, method: str, params: object = None) -> None:
        """Sends a notification."""
        self.send(notification(method, params))

    def prepare(self, method: str, params: object = None) -> tuple[Pending, dict[str, Any]]:
        """A request that is yet to be sent, for what must go out in one piece with others."""
        with self._news:
            self._next_id += 1
            pending = self._pending[self._next_id] = Pending(self, self._next_id)
        return pending, {"jsonrpc": "2.0", "id": pending.id, "method": method, "params": params}

    def send(self, *messages: object) -> None:
        """Sends messages in one write."""
        self.send_bytes(b"".join(frame(message) for message in messages))

    def send_bytes(self, data: bytes) -> None:
        """Sends bytes as they are. That the server has gone is for its exit code to show."""
        with contextlib.suppress(BrokenPipeError, ConnectionError, ValueError):
            self._input.write(data)
            self._input.flush()

    def wait_for(self, condition: Callable[[], object], what: str) -> None:
        """Waits until the condition holds, looked at whenever the server has said something, and now and then."""
        end = time.monotonic() + LIMIT
        with self._news:
            while not condition():
                left = end - time.monotonic()
                if left <= 0 or (self._ended and not condition()):
                    state = f"exit code {self.process.poll()}" if self._ended else f"{LIMIT:g} s"
                    raise AssertionError(f"{what} did not come ({state}); stderr:\n{self.stderr[-4000:]}")
                # What is waited for may be seen elsewhere, by an API server in another thread.
                self._news.wait(min(left, 0.02))

    # What editors do

    def initialize(
        self,
        capabilities: Mapping[str, Any] = INLINE,
        *,
        options: object = None,
        name: str | None = None,
        root: Path | None = None,
        **others: object,
    ) -> dict[str, Any]:
        """The handshake; the result of `initialize`."""
        params = {
            "processId": None,
            "rootUri": root.as_uri() if root else None,
            "capabilities": capabilities,
            "initializationOptions": options,
            **({"clientInfo": {"name": name}} if name else {}),
            **others,
        }
        result: dict[str, Any] = self.ask("initialize", params)
        self.notify("initialized", {})
        return result

    def open(self, uri: str, text: str, language: str = "python") -> None:
        """didOpen, version 1."""
        self._versions[uri] = 1
        document = {"uri": uri, "languageId": language, "version": 1, "text": text}
        self.notify("textDocument/didOpen", {"textDocument": document})

    def change(self, uri: str, *changes: Mapping[str, Any]) -> None:
        """didChange with one version more than before."""
        self.send(self.change_message(uri, *changes))

    def change_message(self, uri: str, *changes: Mapping[str, Any]) -> dict[str, Any]:
        """The same, not yet sent."""
        self._versions[uri] = self._versions.get(uri, 0) + 1
        document = {"uri": uri, "version": self._versions[uri]}
        return notification("textDocument/didChange", {"textDocument": document, "contentChanges": list(changes)})

    def request_inline(self, uri: str, line: int, character: int, kind: int = 1) -> Pending:
        """textDocument/inlineCompletion; kind 1 is a gesture, 2 is typing."""
        return self.request("textDocument/inlineCompletion", inline_params(uri, line, character, kind))

    def complete(self, uri: str, line: int, character: int, kind: int = 1) -> list[dict[str, Any]]:
        """The items of an inline completion, waited for."""
        result = self.request_inline(uri, line, character, kind).result()
        assert isinstance(result, dict), f"the answer is to be a list of items, not {result}"
        items: list[dict[str, Any]] = result["items"]
        return items

    def settle(self) -> None:
        """Waits until the server has handled all that was sent so far.

        Twice there and back: the first time finds begun what the second finds done.
        """
        for _ in range(2):
            assert self.request("codestral-ls/none").error().code == -32601

    # What came

    @property
    def messages(self) -> list[str]:
        """What the user was shown."""
        return [params["message"] for method, params in list(self.notifications) if method == "window/showMessage"]

    @property
    def stderr(self) -> str:
        return self._err.decode("utf-8", "replace")

    def forget(self) -> None:
        """Drops what was shown and logged so far, for tests that share a server."""
        self.notifications.clear()
        self.strays.clear()
        self._err.clear()

    def assert_quiet(self) -> None:
        """The server lives, and neither a traceback nor a message about a fault of its own was seen."""
        assert self.process.poll() is None, f"the server ended with {self.process.poll()}:\n{self.stderr}"
        assert "Traceback" not in self.stderr, self.stderr
        assert "Error in server" not in " ".join(self.messages)

    # The end

    def shut_down(self) -> int:
        """shutdown and exit; the exit code."""
        assert self.ask("shutdown") is None
        self.notify("exit")
        return self.exit_code()

    def exit_code(self) -> int:
        """Waits for the end of the process."""
        code = self.process.wait(LIMIT)
        for thread in self._threads:
            thread.join(LIMIT)
        return code

    def hang_up(self) -> None:
        """Closes the server's input, as the end of an editor does."""
        if self._socket is not None:
            self._socket.shutdown(socket.SHUT_RDWR)
        else:
            self._input.close()

    def __enter__(self) -> LspClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            with contextlib.suppress(OSError, subprocess.TimeoutExpired):
                self.hang_up()
                self.process.wait(10)
        if self.process.poll() is None:
            self.process.kill()
        self.exit_code()
        for stream in (self._input, self._output, self.process.stderr):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        if self._socket is not None:
            self._socket.close()

    # Reading

    def _connect(self) -> socket.socket:
        end = time.monotonic() + LIMIT
        while not (found := re.search(r"listening on (\S+):(\d+)", self.stderr)):
            assert time.monotonic() < end, f"the server does not listen:\n{self.stderr}"
            assert self.process.poll() is None, self.stderr
            time.sleep(0.01)
        connection = socket.create_connection((found[1], int(found[2])), LIMIT)
        connection.settimeout(None)
        return connection

    def _read(self) -> None:
        for message in self._frames():
            with self._news:
                self._receive(message)
                self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()

    def _frames(self) -> Iterator[dict[str, Any]]:
        while True:
            length = None
            try:
                while (line := self._output.readline()).strip():
                    name, _, value = line.partition(b":")
                    if name.lower() == b"content-length":
                        length = int(value)
                if not line or length is None:
                    return
                yield json.loads(self._output.read(length))
            except (OSError, ValueError):
                return

    def _receive(self, message: dict[str, Any]) -> None:
        if "method" not in message:
            pending = self._pending.get(message["id"]) if message["id"] is not None else None
            (pending.answers if pending is not None else self.strays).append(message)
        elif "id" not in message:
            self.notifications.append((message["method"], message.get("params")))
        else:
            self.requests.append((message["method"], message.get("params")))
            answer = self.answers.get(message["method"], RpcError(-32601, "no such method"))
            answer = answer(message.get("params")) if callable(answer) and answer is not Silence else answer
            if answer is Silence:
                return
            content = (
                {"error": {"code": answer.code, "message": answer.message}}
                if isinstance(answer, RpcError)
                else {"result": answer}
            )
            self.send({"jsonrpc": "2.0", "id": message["id"], **content})

    def _read_stderr(self, stream: IO[bytes]) -> None:
        while data := os.read(stream.fileno(), 1 << 16):
            self._err += data


def notification(method: str, params: object = None) -> dict[str, Any]:
    """A notification, not yet sent."""
    return {"jsonrpc": "2.0", "method": method, "params": params}


def inline_params(uri: str, line: int, character: int, kind: int = 1) -> dict[str, Any]:
    """The parameters of textDocument/inlineCompletion."""
    position = {"line": line, "character": character}
    return {"textDocument": {"uri": uri}, "position": position, "context": {"triggerKind": kind}}


def insertion(line: int, character: int, text: str) -> dict[str, Any]:
    """A change that inserts."""
    at = {"line": line, "character": character}
    return {"range": {"start": at, "end": at}, "text": text}
