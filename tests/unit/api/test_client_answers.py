"""What a client makes of the answers of a host, in every form that one may come."""

from __future__ import annotations

import asyncio
import itertools
import json
from contextlib import aclosing
from typing import Any

import httpx
import pytest
from api_fakes import (
    ANSWER,
    KEY,
    MISTRAL,
    REFUSED,
    REQUEST,
    TIMEOUTS,
    Body,
    FakeKeys,
    ask,
    assert_no_key,
    chunks_of,
    client,
    delta,
    failure_of,
    hosts,
    response,
    run,
    sse,
    stream,
    until,
)
from hypothesis import given
from hypothesis import strategies as st

from codestral_ls import __version__
from codestral_ls.api import answers
from codestral_ls.api.client import Timeouts
from codestral_ls.api.errors import (
    BadKey,
    ModelUnavailable,
    NonsenseAnswer,
    NotInPlan,
    Overloaded,
    RateLimited,
    TimedOut,
    Unreachable,
)
from codestral_ls.api.wire import ChatRequest, Chunk, Usage

USAGE = {"prompt_tokens": 5, "completion_tokens": 2}
EVENTS = [
    delta(""),
    delta("re", p="abc"),
    delta("turn \u2028", "stop", usage=USAGE, p="a"),
    "[DONE]",
]
CHUNKS = [Chunk("re"), Chunk("turn \u2028", "stop", Usage(5, 2))]
WHOLE = {"choices": [{"index": 0, "message": {"content": "return"}, "finish_reason": "stop"}], "usage": USAGE}
PAGE = "<!DOCTYPE html><html><title>Sign in</title></html>"


def test_the_request_is_what_the_api_asks_for() -> None:
    transport = hosts(stream(sse(*EVENTS)))
    run(lambda: ask(client(transport)))
    (sent,) = transport.sent
    assert (sent.method, sent.host, sent.path) == ("POST", MISTRAL, "/v1/fim/completions")
    assert sent.body == REQUEST.body()
    assert sent.timeout == {"connect": 4.0, "pool": 4.0, "write": 8.0, "read": 8.0}
    sent.headers.pop("host")
    assert sent.headers == {
        "accept": "text/event-stream, application/json",
        "accept-encoding": "identity",
        "authorization": f"Bearer {KEY}",
        "content-length": str(len(REQUEST.body())),
        "content-type": "application/json",
        "user-agent": f"codestral-ls/{__version__}",
    }


def test_a_path_in_the_base_address_is_kept() -> None:
    transport = hosts(stream(sse(*EVENTS)))
    run(lambda: ask(client(transport, bases=["http://localhost:4000/mistral"])))
    assert transport.sent[0].path == "/mistral/v1/fim/completions"


def test_chat_goes_to_its_own_address() -> None:
    request = ChatRequest("m", [{"role": "user", "content": "hello"}])
    transport = hosts(stream(sse(*EVENTS)))

    async def main() -> list[Chunk]:
        async with aclosing(client(transport).chat(request, TIMEOUTS)) as answer:
            return [chunk async for chunk in answer]

    assert run(main) == CHUNKS
    assert transport.sent[0].path == "/v1/chat/completions"
    assert transport.sent[0].body == request.body()


@pytest.mark.parametrize(("milliseconds", "connect", "read"), [(500, 0.5, 0.5), (8000, 4.0, 8.0), (60_000, 4.0, 60.0)])
def test_time_outs(milliseconds: float, connect: float, read: float) -> None:
    assert Timeouts.of(milliseconds) == Timeouts(connect, read)


# Streams.


@pytest.mark.parametrize("end", ["\n\n", "\r\n\r\n", "\r\r"])
def test_a_stream(end: str) -> None:
    assert chunks_of(stream(sse(*EVENTS, end=end))) == CHUNKS


@given(cuts=st.lists(st.integers(min_value=0, max_value=700), max_size=8))
def test_a_stream_is_the_same_under_any_cut(cuts: list[int]) -> None:
    whole = ("\ufeff: hello\n\n" + sse(*EVENTS).decode()).encode()
    at = [0, *sorted(min(cut, len(whole)) for cut in cuts), len(whole)]
    pieces = [whole[start:stop] for start, stop in itertools.pairwise(at)]
    for content_type in ("text/event-stream", "application/json"):
        assert chunks_of(response(200, Body(*pieces), content_type)) == CHUNKS


@pytest.mark.parametrize(
    "content_type", ["text/event-stream", "Text/Event-Stream", "application/json", "text/plain", ""]
)
@pytest.mark.parametrize("start", ["", ": keep-alive\n\n", "event: message\n", "id: 1\n", "retry: 9\n", "\r\n\ufeff"])
def test_a_stream_is_known_whatever_its_content_type(content_type: str, start: str) -> None:
    assert chunks_of(response(200, start.encode() + sse(*EVENTS), content_type)) == CHUNKS


def test_a_declared_stream_may_begin_with_fields_of_its_own() -> None:
    assert chunks_of(stream(b"x-trace: 5\n" + sse(*EVENTS))) == CHUNKS
    error, _ = failure_of(response(200, b"x-trace: 5\n" + sse(*EVENTS), "text/plain"))
    assert type(error) is NonsenseAnswer


def test_a_long_first_piece_is_no_reason_to_doubt() -> None:
    long = delta("x" * 5000)
    assert chunks_of(stream(sse(long, *EVENTS))) == [Chunk("x" * 5000), *CHUNKS]
    assert chunks_of(stream(b"\n" * 5000 + sse(*EVENTS))) == CHUNKS


def test_the_last_event_needs_no_blank_line() -> None:
    assert chunks_of(stream(sse(*EVENTS[:2]) + b'data: {"choices":[{"text":"turn"}]}')) == [
        Chunk("re"),
        Chunk("turn"),
        Chunk("", "cut"),
    ]
    assert chunks_of(stream(sse(*EVENTS).removesuffix(b"\n\n"))) == CHUNKS
    assert chunks_of(stream(sse(delta("x")) + b"data: [DONE]")) == [Chunk("x")]


@pytest.mark.parametrize(
    "rest", [b"", b"data: ", b'data: {"choices": [{"index": 0, "del', b"data: [DON", b": x"], ids=repr
)
def test_a_stream_that_was_cut_off_says_so(rest: bytes) -> None:
    assert chunks_of(stream(sse(delta("re")), rest)) == [Chunk("re"), Chunk("", "cut")]


def test_a_stream_that_had_its_last_chunk_was_not_cut_off() -> None:
    assert chunks_of(stream(sse(*EVENTS[:-1]))) == CHUNKS


def test_nothing_counts_after_the_end() -> None:
    assert chunks_of(stream(sse("[DONE]", delta("more")))) == []
    assert chunks_of(stream(sse(*EVENTS), sse(delta("more")))) == CHUNKS


def test_a_stream_is_read_to_its_true_end_so_that_its_connection_can_serve_again() -> None:
    body = Body(sse(*EVENTS), b"\n")
    assert chunks_of(response(200, body, "text/event-stream")) == CHUNKS
    assert body.ended


@pytest.mark.parametrize("ended", [True, False], ids=["silent", "talking"])
def test_a_stream_that_does_not_end_after_its_end_is_left(ended: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "DRAIN_SECONDS", 0.01)

    async def main() -> list[Chunk]:
        rest = [asyncio.get_running_loop().create_future()] if ended else [b": x\n"] * 10_000
        body = Body(sse(*EVENTS), *rest)
        found = await ask(client(hosts(response(200, body, "text/event-stream"))))
        assert body.closed
        assert not body.ended
        return found

    assert run(main) == CHUNKS


def test_a_stream_that_has_always_more_does_not_hold_up_the_loop() -> None:
    class Hurried(Body):
        async def __anext__(self) -> bytes:
            self.read += 1
            return sse(*EVENTS) if self.read == 1 else b": x\n"

    body = Hurried()
    assert chunks_of(response(200, body, "text/event-stream")) == CHUNKS
    assert body.read < 100


def test_a_connection_that_breaks_after_the_end_does_no_harm() -> None:
    assert chunks_of(stream(sse(*EVENTS), httpx.ReadError("reset"))) == CHUNKS


def test_an_answer_that_was_given_up_is_an_error_only_if_nothing_came() -> None:
    assert chunks_of(stream(sse(delta("re"), delta("", "error"), "[DONE]"))) == [Chunk("re"), Chunk("", "error")]
    error, before = failure_of(stream(sse(delta(""), delta("", "error"), "[DONE]")))
    assert type(error) is Overloaded
    assert before == []


def test_an_event_without_end_ends_the_answer() -> None:
    body = Body(*[b"data: " + b"x" * (1 << 20)] * 50)
    error, _ = failure_of(response(200, body, "text/event-stream"))
    assert type(error) is NonsenseAnswer
    assert body.read <= 6 << 20


# Errors in the middle.

INTERNAL = {"object": "error", "message": "Internal error", "type": "internal_error", "code": "3000"}
TIER = {"object": "error", "message": "Not in your tier", "type": "tier_not_allowed", "code": "1910"}
CAPACITY = {"object": "error", "message": "Too much", "type": "engine_max_pending_tokens", "code": "3810"}


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        ({**INTERNAL, "raw_status_code": 500}, Overloaded),
        (INTERNAL, Overloaded),
        ({"error": {"message": "Internal error"}}, Overloaded),
        ({"error": "Internal error"}, Overloaded),
        ({**TIER, "raw_status_code": 403}, NotInPlan),
        (TIER, NotInPlan),
        (CAPACITY, Overloaded),
        ({"object": "error", "message": "Rate limit exceeded", "type": "rate_limited", "code": "1300"}, RateLimited),
        ({"object": "error", "message": "Invalid model: X", "type": "invalid_model", "code": "1500"}, ModelUnavailable),
        ({"detail": "Unauthorized", "status": 401}, BadKey),
    ],
    ids=str,
)
@pytest.mark.parametrize("before", [[], [Chunk("re")]], ids=["first", "in the middle"])
def test_an_error_in_place_of_an_event(event: Any, kind: type[Exception], before: list[Chunk]) -> None:
    events = [delta(chunk.text) for chunk in before]
    error, came = failure_of(stream(sse(*events, event)))
    assert type(error) is kind
    assert came == before
    if not before:
        assert type(failure_of(response(200, event))[0]) is kind


@pytest.mark.parametrize("data", ["{", "Bad Gateway", "[1]", "null", "{'a': 1}"])
def test_an_event_that_is_no_json_ends_the_answer(data: str) -> None:
    error, came = failure_of(stream(sse(delta("re"), data, *EVENTS)))
    assert type(error) is NonsenseAnswer
    assert came == [Chunk("re")]


@pytest.mark.parametrize(
    ("failure", "kind", "words"),
    [
        (httpx.ReadTimeout("x"), TimedOut, "fell silent in the middle"),
        (httpx.ReadError("reset by peer"), Unreachable, "in the middle of an answer (reset by peer)"),
        (httpx.RemoteProtocolError("closed"), Unreachable, "in the middle"),
    ],
)
@pytest.mark.parametrize("began", [True, False])
def test_a_connection_that_breaks_in_the_middle(
    failure: Exception, kind: type[Exception], words: str, began: bool
) -> None:
    error, came = failure_of(stream(*([sse(delta("re"))] if began else []), failure))
    assert type(error) is kind
    assert words in str(error)
    assert came == ([Chunk("re")] if began else [])


# Plain answers.


@pytest.mark.parametrize("content_type", ["application/json", "text/event-stream", "text/html", ""])
@pytest.mark.parametrize("start", [b"", b"\n \t", b"\xef\xbb\xbf"])
def test_a_plain_answer_is_taken_for_a_stream(content_type: str, start: bytes) -> None:
    plain = response(200, start + json.dumps(WHOLE).encode(), content_type)
    assert chunks_of(plain) == [Chunk("return", "stop", Usage(5, 2))]


def test_a_plain_answer_in_pieces() -> None:
    body = json.dumps({**ANSWER, "choices": [{"text": "größer"}]}, ensure_ascii=False).encode()
    assert chunks_of(response(200, Body(*(bytes([byte]) for byte in body)))) == [Chunk("größer")]


@pytest.mark.parametrize("answer", [{"choices": [{"message": {"content": ""}}]}, {"choices": [{"text": None}]}])
def test_a_plain_answer_may_be_empty(answer: Any) -> None:
    assert chunks_of(response(200, answer)) == [Chunk("")]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (PAGE, "“<!DOCTYPE html><html><title>Sign in</title></html>” instead of JSON"),
        ("", "answered with nothing"),
        (" \n", "answered with nothing"),
        ("OK", "“OK” instead"),
        ("data", "“data” instead"),
        ("{", "not JSON"),
        ('{"choices": [{"message": {"content": "cut', "not JSON"),
        ("[]", "not an answer"),
        ("{}", "no completion"),
        ('{"status": "ok"}', "no completion"),
        ("null", "instead of JSON"),
        ("[" * 100_000, "nested too deeply"),
    ],
    ids=lambda value: value[:30],
)
@pytest.mark.parametrize("content_type", ["application/json", "text/html"])
def test_what_is_no_answer(body: str, words: str, content_type: str) -> None:
    error, _ = failure_of(response(200, body, content_type))
    assert type(error) is NonsenseAnswer
    assert words in str(error)
    assert len(str(error)) < 250


def test_a_page_that_calls_itself_a_stream() -> None:
    assert type(failure_of(response(200, PAGE, "text/event-stream"))[0]) is NonsenseAnswer


@pytest.mark.parametrize("body", [b"", b"\n\n", b": keep-alive\n\n", b"event: x\n\n"])
def test_a_stream_without_any_event(body: bytes) -> None:
    error, _ = failure_of(stream(body))
    assert type(error) is Unreachable
    assert error.transient


@pytest.mark.parametrize("piece", [b"x" * (1 << 20), b'{"a":"' + b"x" * (1 << 20), b" " * (1 << 20)])
def test_a_plain_answer_has_a_longest_size(piece: bytes) -> None:
    body = Body(*[piece] * 50)
    error, _ = failure_of(response(200, body))
    assert type(error) is NonsenseAnswer
    assert "more than 4 MB" in str(error)
    assert body.read <= answers.MAX_PLAIN_ANSWER_BYTES + 2 * len(piece)


def test_a_plain_answer_of_one_megabyte_is_taken() -> None:
    text = "x" * (1 << 20)
    assert chunks_of(response(200, {"choices": [{"text": text}]})) == [Chunk(text)]


def test_a_packed_answer_is_unpacked() -> None:
    import gzip

    packed = response(200, gzip.compress(sse(*EVENTS)), "text/event-stream", content_encoding="gzip")
    transport = hosts(packed)
    assert run(lambda: ask(client(transport))) == CHUNKS


def test_an_answer_that_cannot_be_unpacked() -> None:
    error, _ = failure_of(response(200, b"not gzip at all", content_encoding="gzip"))
    assert type(error) is NonsenseAnswer


# Bodies of errors.


def test_no_more_of_an_errors_body_is_read_than_is_of_use() -> None:
    body = Body(*[b"<html>" + b"x" * 10_000] * 1000)
    error, _ = failure_of(response(503, body))
    assert type(error) is Overloaded
    assert body.read < 100_000
    assert body.closed


@pytest.mark.parametrize("failure", [httpx.ReadTimeout("silent"), httpx.ReadError("reset")])
def test_the_status_counts_even_if_its_body_does_not_come(failure: Exception) -> None:
    error, _ = failure_of(response(429, Body(b"", failure), retry_after="5"))
    assert type(error) is RateLimited
    assert error.retry_at == 55.0
    assert "silent" not in str(error)


# Closing.


def endless() -> Body:
    return Body(*[sse(delta("x"))] * 100_000)


def test_closing_the_answer_closes_the_response_before_it_returns() -> None:
    body = endless()

    async def main() -> None:
        answer = client(hosts(response(200, body, "text/event-stream"))).fim(REQUEST, TIMEOUTS)
        assert (await anext(answer)).text == "x"
        assert not body.closed
        closing = answer.aclose()
        # Driven by hand, to its first wait at most: nothing is left to a later turn of the loop.
        with pytest.raises(StopIteration):
            closing.send(None)
        assert body.closed
        assert body.read < 1000

    run(main)


def test_cancelling_who_reads_closes_the_response() -> None:
    async def main() -> None:
        body = Body(sse(delta("x")), asyncio.get_running_loop().create_future())
        transport = hosts(response(200, body, "text/event-stream"))
        reading = asyncio.create_task(ask(client(transport)))
        await until(lambda: body.read)
        await asyncio.sleep(0)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        assert body.closed

    run(main)


def test_cancelling_before_the_answer_begins_reaches_the_transport() -> None:
    async def main() -> None:
        ended: list[BaseException] = []

        async def never(_: Any) -> Any:
            try:
                await asyncio.get_running_loop().create_future()
            except BaseException as error:
                ended.append(error)
                raise

        transport = hosts(never)
        reading = asyncio.create_task(ask(client(transport)))
        await until(lambda: transport.sent)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        assert [type(error) for error in ended] == [asyncio.CancelledError]

    run(main)


def test_an_answer_that_is_not_asked_for_is_not_sent_for() -> None:
    transport = hosts()

    async def main() -> None:
        await client(transport).fim(REQUEST, TIMEOUTS).aclose()

    run(main)
    assert transport.sent == []


def test_closing_the_client_closes_its_transport() -> None:
    transport = hosts()
    run(client(transport).aclose)
    assert transport.closed


# The key in what the server says.

ECHO = f"no such key: {KEY}"
ESCAPED = '{"detail": "' + "".join(f"\\u{ord(char):04x}" for char in KEY) + '"}'
LONG = "x" * 100


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 418, 422, 429, 500, 520])
@pytest.mark.parametrize(
    "body",
    [
        {"detail": ECHO},
        {"message": json.dumps({"detail": ECHO})},
        {"detail": [{"msg": ECHO, "loc": ["body", KEY]}]},
        {"detail": LONG + KEY + LONG},
        ECHO,
        f"<html>{ECHO}</html>",
        LONG + KEY + LONG,
        ESCAPED,
    ],
    ids=["detail", "in a string", "location", "cut", "text", "page", "cut text", "escaped"],
)
def test_an_error_that_quotes_the_key(status: int, body: Any) -> None:
    assert failure_of(response(status, body), response(status, body))[0].status == status


@pytest.mark.parametrize("name", ["content-type", "retry-after", "date", "x-ratelimit-limit-req-minute", "location"])
@pytest.mark.parametrize("status", [301, 401, 429, 500, 200])
def test_a_header_that_quotes_the_key(name: str, status: int) -> None:
    failure_of(response(status, "x", **{name: KEY}))


@pytest.mark.parametrize("content_type", ["text/event-stream", "application/json"])
@pytest.mark.parametrize(
    "event",
    [
        {"object": "error", "message": ECHO},
        {"error": {"message": LONG + KEY, "code": 401}},
        {"object": "error", "message": "x", "type": KEY, "code": KEY},
        ECHO,
        LONG + KEY,
        ESCAPED,
    ],
    ids=["message", "nested", "type", "text", "cut text", "escaped"],
)
def test_an_event_that_quotes_the_key(event: Any, content_type: str) -> None:
    failure_of(response(200, sse(event), content_type))


@pytest.mark.parametrize("body", [f"<html>{ECHO}", ECHO, LONG[:50] + KEY, f"{{{KEY}", json.dumps([KEY])])
def test_a_plain_answer_that_quotes_the_key(body: str) -> None:
    failure_of(response(200, body))


def test_a_list_of_models_that_quotes_the_key() -> None:
    async def main() -> None:
        for status, body in ((200, ECHO), (200, json.dumps({"data": KEY})), (403, json.dumps({"detail": ECHO}))):
            with pytest.raises((NonsenseAnswer, NotInPlan)) as caught:
                await client(hosts(response(status, body))).models(TIMEOUTS)
            assert_no_key(caught.value)

    run(main)


def test_completions_may_hold_what_looks_like_the_key() -> None:
    # What the model writes is the user's text; only messages are cleaned.
    assert chunks_of(stream(sse(delta(KEY, "stop"), "[DONE]"))) == [Chunk(KEY, "stop")]


# The list of models.


def test_the_list_of_models() -> None:
    transport = hosts(response(200, {"data": [{"id": "a", "capabilities": {"completion_fim": True}}]}))
    found = run(lambda: client(transport).models(TIMEOUTS))
    assert [(model.id, model.fim) for model in found] == [("a", True)]
    (sent,) = transport.sent
    assert (sent.method, sent.path, sent.body, sent.key) == ("GET", "/v1/models", b"", KEY)
    assert "content-type" not in sent.headers
    assert transport.all_closed()


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (response(200, PAGE), NonsenseAnswer),
        (response(401, REFUSED), BadKey),
        (response(200, Body(b"[", httpx.ReadError("reset"))), Unreachable),
        (httpx.ConnectError("refused"), Unreachable),
        (response(200, Body(*[b"x" * (1 << 20)] * 50)), NonsenseAnswer),
    ],
)
def test_a_list_of_models_that_does_not_come(answer: Any, kind: type[Exception]) -> None:
    transport = hosts(answer)

    async def main() -> None:
        with pytest.raises(kind):
            await client(transport).models(TIMEOUTS)

    run(main)
    assert transport.all_closed()


# What answers say besides.


def test_limits_and_the_clock_are_noted() -> None:
    async def main() -> None:
        asking = client(
            hosts(
                response(200, ANSWER, date="Wed, 21 Oct 2015 07:27:30 GMT", x_ratelimit_limit_req_minute="60"),
                response(200, ANSWER, date="yesterday"),
                response(429, {}, x_ratelimit_remaining_req_minute="0"),
            )
        )
        assert (asking.limits, asking.clock_skew_seconds) == (None, None)
        await ask(asking)
        assert asking.clock_skew_seconds == 30.0
        assert asking.limits is not None
        assert asking.limits.requests == 60
        await ask(asking)
        assert asking.clock_skew_seconds == 30.0
        assert asking.limits.requests == 60
        with pytest.raises(RateLimited):
            await ask(asking)
        assert asking.limits.requests_left == 0

    run(main)


def test_one_client_serves_many_at_once() -> None:
    async def main() -> None:
        transport = hosts(lambda _: stream(*(sse(delta(str(number))) for number in range(5)), sse("[DONE]")))
        asking = client(transport, FakeKeys())
        found = await asyncio.gather(*(ask(asking) for _ in range(20)))
        assert all("".join(chunk.text for chunk in chunks) == "01234" for chunks in found)

    run(main)
