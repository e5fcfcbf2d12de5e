"""A client of the API with nothing real round it: hosts that answer from a script, keys, clocks that stand still."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx

from codestral_ls.api.client import Access, Client, Timeouts
from codestral_ls.api.errors import ApiError
from codestral_ls.api.wire import Chunk, FimRequest

MISTRAL = "https://api.mistral.ai"
CODESTRAL = "https://codestral.mistral.ai"
OWN = "http://localhost:8080"
KEY = "sk-SeCrEt-0123456789abcdefGHIJKL"
REQUEST = FimRequest("some-model", "before", "after")
TIMEOUTS = Timeouts.of(8000)
LIMIT = 30.0  # seconds; a guard against hanging, never an expectation

Result = TypeVar("Result")


def run(main: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
    """Run `main` in a loop of its own; a task that it leaves behind is a failure."""

    async def guarded() -> Result:
        result = await asyncio.wait_for(main(), LIMIT)
        for _ in range(10):
            # The event loop closes what is left of a generator of httpx's in a task of its own, which needs some turns.
            await asyncio.sleep(0)
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, f"tasks left behind: {left}"
        return result

    return asyncio.run(guarded())


async def until(condition: Callable[[], object]) -> None:
    """Let the others run until `condition` holds."""
    while not condition():  # noqa: ASYNC110 - what is waited for is the loop's own turns
        await asyncio.sleep(0)


@dataclass(frozen=True)
class FakeKey:
    value: str
    source: str = "a test"


class FakeKeys:
    """`stored` is what the sources hold; `reload` takes it over and is counted."""

    def __init__(self, stored: str | None = KEY, *, loaded: bool = True) -> None:
        self.stored = stored
        self.reloads = 0
        self.key = FakeKey(stored) if stored is not None and loaded else None

    def reload(self) -> FakeKey | None:
        self.reloads += 1
        self.key = FakeKey(self.stored) if self.stored is not None else None
        return self.key


@dataclass
class Clock:
    """Seconds, moved by the test."""

    now: float = 50.0

    def __call__(self) -> float:
        return self.now


class Body(httpx.AsyncByteStream):
    """A body in pieces; an exception among them is raised, an awaitable is awaited. Notes how it was read."""

    def __init__(self, *pieces: bytes | Exception | Awaitable[Any]) -> None:
        self._pieces = iter(pieces)
        self.read = 0
        self.ended = False
        self.closed = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        await asyncio.sleep(0)
        assert not self.closed, "read after it was closed"
        for piece in self._pieces:
            if isinstance(piece, Exception):
                raise piece
            if isinstance(piece, bytes):
                self.read += len(piece)
                return piece
            await piece
        self.ended = True
        raise StopAsyncIteration

    async def aclose(self) -> None:
        self.closed = True


def response(
    status: int = 200,
    body: bytes | str | dict[str, Any] | list[Any] | Body = b"",
    content_type: str = "application/json",
    **headers: str,
) -> httpx.Response:
    """A response; header names are written with `_` for `-`."""
    if isinstance(body, (dict, list)):
        body = json.dumps(body)
    if isinstance(body, str):
        body = body.encode()
    named = {"content-type": content_type, **{name.replace("_", "-"): value for name, value in headers.items()}}
    return httpx.Response(status, headers=named, stream=body if isinstance(body, Body) else Body(body))


def sse(*events: Any, end: str = "\n\n") -> bytes:
    """Events of a stream; what is no text is written as JSON."""
    lines = (event if isinstance(event, str) else json.dumps(event) for event in events)
    return "".join(f"data: {line}{end}" for line in lines).encode()


def stream(*pieces: bytes | Exception | Awaitable[Any]) -> httpx.Response:
    return response(200, Body(*pieces), "text/event-stream; charset=utf-8")


def delta(text: str, finish: str | None = None, **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
    return {"id": "5a" * 16, "object": "chat.completion.chunk", "choices": [choice], **more}


ANSWER = {"choices": [{"index": 0, "message": {"content": "x"}, "finish_reason": "stop"}]}
REFUSED = {"detail": "Invalid API Key"}


@dataclass(frozen=True)
class Sent:
    """A request as a host saw it."""

    host: str
    path: str
    method: str
    headers: dict[str, str]
    body: bytes
    timeout: dict[str, float]

    @property
    def key(self) -> str | None:
        value = self.headers.get("authorization")
        return None if value is None else value.removeprefix("Bearer ")


@dataclass
class Hosts(httpx.AsyncBaseTransport):
    """Answers by the script: an answer for each request in turn, or one function for all."""

    script: Any
    sent: list[Sent] = field(default_factory=list)
    responses: list[httpx.Response] = field(default_factory=list)
    closed: bool = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        sent = Sent(
            f"{request.url.scheme}://{request.url.netloc.decode()}",
            request.url.path,
            request.method,
            dict(request.headers),
            request.content,
            dict(request.extensions["timeout"]),
        )
        self.sent.append(sent)
        answer = self.script(sent) if callable(self.script) else next(self.script)
        if inspect.isawaitable(answer):
            answer = await answer
        if isinstance(answer, Exception):
            raise answer
        assert isinstance(answer, httpx.Response)
        self.responses.append(answer)
        return answer

    async def aclose(self) -> None:
        self.closed = True

    @property
    def asked(self) -> list[tuple[str, str | None]]:
        """Host and key of each request."""
        return [(sent.host, sent.key) for sent in self.sent]

    def all_closed(self) -> bool:
        return all(answer.is_closed for answer in self.responses)


def hosts(*answers: Any) -> Hosts:
    """Hosts that give these answers in turn, or that answer by the one function given."""
    return Hosts(answers[0] if len(answers) == 1 and callable(answers[0]) else iter(answers))


def client(
    transport: httpx.AsyncBaseTransport,
    keys: FakeKeys | None = None,
    *,
    bases: Iterable[str] = (MISTRAL,),
    clock: Callable[[], float] | None = None,
    wall: float = 1445412480.0,
    **access: Any,
) -> Client:
    """Asks `bases` with `keys`; its clocks stand still unless given one."""
    there = FakeKeys() if keys is None else keys
    return Client(transport, Access(tuple(bases), there, **access), clock=clock or Clock(), wall_clock=lambda: wall)


async def ask(asking: Client, request: FimRequest = REQUEST) -> list[Chunk]:
    """All chunks of one FIM answer."""
    async with aclosing(asking.fim(request, TIMEOUTS)) as answer:
        return [chunk async for chunk in answer]


def chunks_of(*answers: Any, **options: Any) -> list[Chunk]:
    """The chunks that a client makes of what its host answers."""
    transport = hosts(*answers)
    found = run(lambda: ask(client(transport, **options)))
    assert transport.all_closed()
    return found


def failure_of(*answers: Any, **options: Any) -> tuple[ApiError, list[Chunk]]:
    """The error that a call ends with, and the chunks that came before it. No error ever holds the key."""
    transport = hosts(*answers)

    async def main() -> tuple[ApiError, list[Chunk]]:
        before: list[Chunk] = []
        try:
            async with aclosing(client(transport, **options).fim(REQUEST, TIMEOUTS)) as answer:
                async for chunk in answer:
                    before.append(chunk)
        except ApiError as error:
            assert_no_key(error)
            return error, before
        raise AssertionError(f"no error, but {before}")

    found = run(main)
    assert transport.all_closed()
    return found


def assert_no_key(error: BaseException) -> None:
    """Neither the error nor its chain shows the key or a good part of it."""
    seen: BaseException | None = error
    while seen is not None:
        for shown in (str(seen), repr(seen)):
            assert KEY[:12] not in shown
            assert KEY[-12:] not in shown
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)
