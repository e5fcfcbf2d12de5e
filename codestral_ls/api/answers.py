"""From a response to the chunks of its answer: an event stream or plain JSON, told apart by how the body begins.

Neither what was asked nor the content type is to be trusted: some servers ignore `stream`, some label a stream wrongly,
and a page of HTML comes with status 200, too.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import suppress
from typing import TypeVar

import httpx

from codestral_ls.api.errors import NonsenseAnswer, Overloaded, Unreachable
from codestral_ls.api.events import EventParser
from codestral_ls.api.wire import DONE, Chunk, StreamError, excerpt, read_answer, read_chunk

MAX_PLAIN_ANSWER_BYTES = 4 << 20
"""A plain answer longer than this is dropped: FIM and chat answers have at most a few hundred kilobytes."""

MAX_ERROR_BYTES = 64 << 10
"""How much of an error's body is read: the API's own have less than one kilobyte, a page of HTML a few dozen."""

DRAIN_SECONDS = 0.1
"""How long the end of a body is waited for once the answer is whole."""

_FIELDS = (b"data:", b"event:", b"id:", b"retry:", b":")
_MAX_LOOK_AHEAD = 1024

Read = TypeVar("Read")


async def chunks(response: httpx.Response, host: str, scrub: Callable[[str], str]) -> AsyncGenerator[Chunk, None]:
    """The chunks of the answer that `host` gives. `scrub` takes the key out of a text that an error is to quote.

    A stream that the host closed in the middle ends with a chunk whose `finish_reason` is `cut`.

    Raises `NonsenseAnswer`, `Overloaded` or `Unreachable` if there is no answer, `StreamError` for an error in its
    place or in its middle, and what the transport raises.
    """
    body = _Body(response)
    if not await body.is_event_stream():
        yield await _plain(body, host, scrub)
        return
    parser = EventParser()
    began = said = ended = False
    async for piece in body:
        for data in parser.feed(piece):
            began = True
            if data == DONE:
                await body.drain()
                return
            if chunk := _scrubbed(read_chunk, data, scrub):
                said = said or bool(chunk.text or chunk.tool_calls)
                ended = ended or chunk.finish_reason is not None
                if chunk.finish_reason == "error" and not said:
                    raise Overloaded(f"{host} gave its answer up before it began; completions resume by themselves.")
                yield chunk
    for data in parser.close():
        began = True
        if data == DONE:
            return
        try:
            last = _scrubbed(read_chunk, data, scrub)
        except NonsenseAnswer:
            # Cut in the middle: nothing but this event is lost.
            continue
        if last is not None:
            ended = ended or last.finish_reason is not None
            yield last
    if not began:
        raise Unreachable(f"{host} closed the connection before its answer began; completions resume by themselves.")
    if not ended:
        yield Chunk("", finish_reason="cut")


async def read_text(response: httpx.Response, host: str) -> str:
    """The whole body. Raises `NonsenseAnswer` if it is longer than `MAX_PLAIN_ANSWER_BYTES`."""
    return await _Body(response).text(host)


async def read_error_text(response: httpx.Response) -> str:
    """The beginning of an error's body, as far as it comes: the status says the most, whatever happens to the rest."""
    pieces, size = [], 0
    with suppress(httpx.HTTPError):
        async for piece in _Body(response):
            pieces.append(piece)
            size += len(piece)
            if size >= MAX_ERROR_BYTES:
                break
    return _decode(pieces)[:MAX_ERROR_BYTES]


class _Body:
    """The pieces of a response's body, once. What was looked at ahead comes again."""

    def __init__(self, response: httpx.Response) -> None:
        content_type: str = response.headers.get("content-type", "")
        self._declared = content_type.lower().startswith("text/event-stream")
        # Not through httpx where there is nothing to unpack: its generators would be left to the garbage collector.
        packed = "content-encoding" in response.headers
        assert isinstance(response.stream, httpx.AsyncByteStream)
        self._pieces: AsyncIterator[bytes] = aiter(response.aiter_bytes() if packed else response.stream)
        self._ahead = b""

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self._ahead:
            piece, self._ahead = self._ahead, b""
            return piece
        return await anext(self._pieces)

    async def is_event_stream(self) -> bool:
        """Whether the body is one, by its first characters; by the content type if they don't tell."""
        ahead, told = b"", None
        async for piece in self:
            ahead += piece
            told = _begins_event_stream(ahead, self._declared)
            if told is not None or len(ahead) > _MAX_LOOK_AHEAD:
                break
        self._ahead = ahead
        return self._declared if told is None else told

    async def text(self, host: str) -> str:
        pieces, size = [], 0
        async for piece in self:
            pieces.append(piece)
            size += len(piece)
            if size > MAX_PLAIN_ANSWER_BYTES:
                raise NonsenseAnswer(f"{host} sent an answer of more than 4 MB; it was dropped. Check base_url.")
        return _decode(pieces)

    async def drain(self) -> None:
        """Reads to the end, if it comes at once: an HTTP/1.1 connection is lost if its answer is closed before."""
        with suppress(asyncio.TimeoutError, httpx.HTTPError):
            await asyncio.wait_for(self._rest(), DRAIN_SECONDS)

    async def _rest(self) -> None:
        # A stream of which more is always there would never let the time-out happen.
        for _ in range(16):
            if await anext(self._pieces, None) is None:
                return


def _begins_event_stream(ahead: bytes, declared: bool) -> bool | None:
    """None if it cannot be told yet."""
    start = ahead.lstrip(b"\xef\xbb\xbf\r\n\t ")
    if start[:1] in (b"{", b"[", b"<"):
        return False
    if start.startswith(_FIELDS):
        return True
    if not start or any(name.startswith(start) for name in _FIELDS):
        return None
    return declared


async def _plain(body: _Body, host: str, scrub: Callable[[str], str]) -> Chunk:
    text = await body.text(host)
    if not text.lstrip().startswith(("{", "[")):
        shown = f"“{excerpt(scrub(text), 60)}”" if text.strip() else "nothing"
        raise NonsenseAnswer(
            f"{host} answered with {shown} instead of JSON: check base_url, and whether a proxy or login page stands "
            "in between."
        )
    chunk = _scrubbed(read_answer, text, scrub)
    if chunk == Chunk("", model=chunk.model) and '"choices"' not in text:
        raise NonsenseAnswer(f"{host} answered with JSON that is no completion: check base_url.")
    return chunk


def _scrubbed(read: Callable[[str], Read], data: str, scrub: Callable[[str], str]) -> Read:
    """What `read` makes of `data`; its errors never quote the key."""
    try:
        return read(data)
    except (NonsenseAnswer, StreamError):
        scrubbed = scrub(data)
    # The same error again. Not within `except`: the first one would stay with it as its context.
    return read(scrubbed)


def _decode(pieces: list[bytes]) -> str:
    return b"".join(pieces).removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace")
