"""The built-in API: the wire forms, manners and failures of the real one, without a network."""

from __future__ import annotations

import json
from contextlib import aclosing
from typing import Any

import httpx
import pytest
from api_fakes import REQUEST, TIMEOUTS, ask, client, run
from hypothesis import given
from hypothesis import strategies as st

from codestral_ls.api.errors import (
    ApiError,
    BadKey,
    ModelUnavailable,
    NonsenseAnswer,
    NotInPlan,
    Overloaded,
    RateLimited,
    RequestRefused,
    RequestTooLarge,
    TimedOut,
)
from codestral_ls.api.sandbox import MOST_LINES, NOTICE, WINDOW, SandboxTransport, continuation, sample_text
from codestral_ls.api.sandbox_rules import BREAKING, FAULTS, SILENT
from codestral_ls.api.wire import ChatRequest, Chunk, FimRequest

PROMPT = "total = price * quantity\nother = 1\ntotal = pr"
TEXT = "ice * quantity\nother = 1"


class Pace:
    """Sleeps that take no time and are noted, in seconds."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.slept.append(seconds)


def sandbox(pace: Pace | None = None, **options: float) -> SandboxTransport:
    return SandboxTransport(sleep=pace or Pace(), **options)


def post(body: Any, path: str = "/v1/fim/completions", method: str = "POST") -> httpx.Response:
    """The sandbox's response, read to its end."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()

    async def main() -> httpx.Response:
        request = httpx.Request(method, f"https://sandbox{path}", content=content)
        response = await sandbox().handle_async_request(request)
        await response.aread()
        await response.aclose()
        return response

    return run(main)


def fim(**fields: Any) -> dict[str, Any]:
    return {"model": "codestral-latest", "prompt": PROMPT, "suffix": "", **fields}


def events(**fields: Any) -> list[Any]:
    """The data of the events of a stream, parsed."""
    response = post(fim(stream=True, **fields))
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert response.text.endswith("\n\n")
    lines = response.text.removesuffix("\n\n").split("\n\n")
    assert lines[-1] == "data: [DONE]"
    return [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]


def joined(chunks: list[Chunk]) -> str:
    return "".join(chunk.text for chunk in chunks)


# Answers.


def test_a_plain_answer_has_the_form_of_the_real_one() -> None:
    response = post(fim())
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    answer = response.json()
    (choice,) = answer["choices"]
    assert (answer["object"], choice["index"], choice["finish_reason"]) == ("chat.completion", 0, "stop")
    assert choice["message"] == {"role": "assistant", "tool_calls": None, "content": TEXT}
    assert len(answer["id"]) == 32
    usage = answer["usage"]
    assert usage["prompt_tokens"] + usage["completion_tokens"] == usage["total_tokens"]
    assert usage["prompt_tokens"] == -(-len(PROMPT) // 4)


def test_a_stream_has_the_form_of_the_real_one() -> None:
    first, *rest = events()
    assert first["choices"] == [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}]
    assert {event["object"] for event in [first, *rest]} == {"chat.completion.chunk"}
    assert [event["choices"][0]["finish_reason"] for event in rest[:-1]] == [None] * (len(rest) - 1)
    assert rest[-1]["choices"][0]["finish_reason"] == "stop"
    assert [event for event in [first, *rest] if "usage" in event] == [rest[-1]]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"stop": ["\n"]},
        {"stop": "\n"},
        {"max_tokens": 2},
        {"max_tokens": 0},
        {"max_tokens": 1000, "stop": ["\n", "price"]},
        {"prompt": "§"},
        {"suffix": "def f():\n    return total\n"},
        {"temperature": 0, "top_p": 1, "random_seed": 5, "metadata": {}, "min_tokens": None},
    ],
    ids=str,
)
def test_stream_and_plain_answer_say_the_same(fields: dict[str, Any]) -> None:
    answer = post(fim(**fields)).json()
    streamed = events(**fields)
    text = "".join(event["choices"][0]["delta"]["content"] for event in streamed)
    assert text == answer["choices"][0]["message"]["content"]
    assert streamed[-1]["usage"] == answer["usage"]
    assert streamed[-1]["choices"][0]["finish_reason"] == answer["choices"][0]["finish_reason"]


@pytest.mark.parametrize(
    ("fields", "text", "reason"),
    [
        ({}, TEXT, "stop"),
        ({"stop": ["\n"]}, "ice * quantity", "stop"),
        ({"stop": "\n"}, "ice * quantity", "stop"),
        ({"stop": ["\n", " *"]}, "ice", "stop"),
        ({"stop": ["nowhere"]}, TEXT, "stop"),
        ({"stop": ["", "\n"]}, "ice * quantity", "stop"),
        ({"stop": []}, TEXT, "stop"),
        ({"stop": ["ice"]}, "", "stop"),
        ({"max_tokens": 2}, "ice *", "length"),
        ({"max_tokens": 0}, "", "length"),
        ({"max_tokens": 100}, TEXT, "stop"),
        ({"max_tokens": 1, "stop": [" "]}, "ice", "stop"),
    ],
    ids=str,
)
def test_stops_and_lengths(fields: dict[str, Any], text: str, reason: str) -> None:
    (choice,) = post(fim(**fields)).json()["choices"]
    assert (choice["message"]["content"], choice["finish_reason"]) == (text, reason)


def test_the_tokens_of_usage_are_those_that_came() -> None:
    usage = post(fim(max_tokens=2)).json()["usage"]
    assert usage["completion_tokens"] == 2
    assert post(fim(prompt="§")).json()["usage"]["completion_tokens"] == 0


def test_the_same_question_has_the_same_answer() -> None:
    assert post(fim()).content == post(fim()).content
    assert post(fim(stream=True)).content == post(fim(stream=True)).content


def test_it_says_that_it_is_the_sandbox() -> None:
    assert post(fim()).json()["model"] == "sandbox"
    assert {event["model"] for event in events()} == {"sandbox"}
    messages = [{"role": "user", "content": "hello"}]
    answer = post({"model": "m", "messages": messages}, "/v1/chat/completions").json()
    assert NOTICE in answer["choices"][0]["message"]["content"]


def test_its_models() -> None:
    found = run(lambda: client(sandbox()).models(TIMEOUTS))
    assert {model.id for model in found} == {"codestral-latest", "sandbox", SILENT, BREAKING, *FAULTS}
    assert all(model.fim for model in found)


def test_a_client_reads_it() -> None:
    request = FimRequest("m", PROMPT, "", max_tokens=50, temperature=0.1, top_p=0.9, stop=["\n"], random_seed=1)
    found = run(lambda: ask(client(sandbox()), request))
    assert joined(found) == "ice * quantity"
    assert found[-1].finish_reason == "stop"
    assert found[-1].usage is not None

    async def chat() -> list[Chunk]:
        asked = ChatRequest("m", [{"role": "user", "content": "x"}], prediction="y", tools=[{}], tool_choice="any")
        async with aclosing(client(sandbox()).chat(asked, TIMEOUTS)) as answer:
            return [chunk async for chunk in answer]

    assert joined(run(chat)).startswith(NOTICE)


# Pace.


def test_a_stream_comes_at_the_pace_that_was_set() -> None:
    pace = Pace()
    found = run(lambda: ask(client(sandbox(pace, first_token=5.0, token=2.0)), FimRequest("m", PROMPT, "")))
    assert pace.slept == [5.0] + [2.0] * len(found)


def test_a_plain_answer_takes_as_long_as_its_stream() -> None:
    pace = Pace()

    async def main() -> None:
        request = httpx.Request("POST", "https://sandbox/v1/fim/completions", content=json.dumps(fim(max_tokens=3)))
        await sandbox(pace, first_token=5.0, token=2.0).handle_async_request(request)

    run(main)
    assert pace.slept == [5.0 + 3 * 2.0]


def test_closing_an_answer_ends_its_making() -> None:
    pace = Pace()

    async def main() -> None:
        async with aclosing(client(sandbox(pace)).fim(FimRequest("m", PROMPT, ""), TIMEOUTS)) as answer:
            await anext(answer)

    run(main)
    assert len(pace.slept) <= 2


def test_a_closed_answer_goes_on_no_more() -> None:
    async def main() -> None:
        request = httpx.Request("POST", "https://sandbox/v1/fim/completions", content=json.dumps(fim(stream=True)))
        response = await sandbox().handle_async_request(request)
        assert isinstance(response.stream, httpx.AsyncByteStream)
        pieces = aiter(response.stream)
        await anext(pieces)
        await response.aclose()
        assert await anext(pieces, b"the end") == b"the end"

    run(main)


# Refusals.


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/"),
        ("POST", "/v1/completions"),
        ("GET", "/v1/fim/completions"),
        ("POST", "/v1/models"),
        ("PUT", "/v1"),
    ],
)
def test_an_unknown_address(method: str, path: str) -> None:
    response = post(fim(), path, method)
    assert (response.status_code, response.json()) == (404, {"detail": "Not Found"})


@pytest.mark.parametrize(
    ("fields", "kind", "where"),
    [
        ({"n": 2}, "extra_forbidden", ["body", "n"]),
        ({"seed": 2}, "extra_forbidden", ["body", "seed"]),
        ({"stream_options": None}, "extra_forbidden", ["body", "stream_options"]),
        ({"messages": []}, "extra_forbidden", ["body", "messages"]),
        ({"prompt": None}, "missing", ["body", "prompt"]),
        ({"model": None}, "missing", ["body", "model"]),
        ({"prompt": 5}, "type_error", ["body", "prompt"]),
        ({"suffix": []}, "type_error", ["body", "suffix"]),
        ({"stream": "true"}, "type_error", ["body", "stream"]),
        ({"max_tokens": True}, "type_error", ["body", "max_tokens"]),
        ({"max_tokens": 1.5}, "type_error", ["body", "max_tokens"]),
        ({"max_tokens": -1}, "out_of_range", ["body", "max_tokens"]),
        ({"temperature": 1.6}, "out_of_range", ["body", "temperature"]),
        ({"temperature": -0.1}, "out_of_range", ["body", "temperature"]),
        ({"top_p": 0}, "out_of_range", ["body", "top_p"]),
        ({"stop": [5]}, "string_type", ["body", "stop"]),
        ({"stop": {}}, "type_error", ["body", "stop"]),
    ],
    ids=str,
)
def test_a_body_that_is_not_in_the_schema(fields: dict[str, Any], kind: str, where: list[str]) -> None:
    response = post(fim(**fields))
    assert response.status_code == 422
    (complaint,) = response.json()["detail"]
    assert (complaint["type"], complaint["loc"]) == (kind, where)


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff", b"[]", b"5", b"null", b"[" * 100_000, b'{"a":' * 100_000, b"{}"], ids=lambda b: b[:6]
)
@pytest.mark.parametrize("path", ["/v1/fim/completions", "/v1/chat/completions"])
def test_a_body_that_is_no_request(body: bytes, path: str) -> None:
    assert post(body, path).status_code == 422


def test_chat_has_a_schema_of_its_own() -> None:
    good = {"model": "m", "messages": [], "prediction": {}, "n": 1}
    assert post(good, "/v1/chat/completions").status_code == 200
    for wrong in ({**good, "suffix": ""}, {**good, "store": True}, {"model": "m"}):
        assert post(wrong, "/v1/chat/completions").status_code == 422


def test_greedy_sampling_with_top_p() -> None:
    assert post(fim(temperature=0, top_p=0.5)).status_code == 400
    for good in ({"temperature": 0}, {"temperature": 0, "top_p": 1}, {"temperature": 0.1, "top_p": 0.5}):
        assert post(fim(**good)).status_code == 200


KINDS: dict[str, type[ApiError]] = {
    "sandbox-bad-key": BadKey,
    "sandbox-not-in-plan": NotInPlan,
    "sandbox-no-plan": NotInPlan,
    "sandbox-unknown-model": ModelUnavailable,
    "sandbox-chat-only": ModelUnavailable,
    "sandbox-too-large": RequestTooLarge,
    "sandbox-rate-limited": RateLimited,
    "sandbox-full": Overloaded,
    "sandbox-down": Overloaded,
    "sandbox-bad-gateway": Overloaded,
    "sandbox-html": Overloaded,
    "sandbox-login-page": NonsenseAnswer,
    SILENT: TimedOut,
    BREAKING: Overloaded,
}


def test_every_fault_is_in_the_table() -> None:
    assert set(KINDS) == {*FAULTS, SILENT, BREAKING}


@pytest.mark.parametrize("name", KINDS)
def test_each_fault_is_the_error_that_it_stands_for(name: str) -> None:
    pace = Pace()

    async def main() -> ApiError:
        with pytest.raises(ApiError) as caught:
            await ask(client(sandbox(pace)), FimRequest(name, PROMPT, ""))
        return caught.value

    error = run(main)
    assert type(error) is KINDS[name]
    assert error.retry_at == (70.0 if name == "sandbox-rate-limited" else None)
    if name == SILENT:
        assert pace.slept == [TIMEOUTS.read]


def test_a_stream_that_breaks_has_begun() -> None:
    came: list[Chunk] = []

    async def main() -> None:
        async with aclosing(client(sandbox()).fim(FimRequest(BREAKING, PROMPT, ""), TIMEOUTS)) as answer:
            async for chunk in answer:
                came.append(chunk)

    with pytest.raises(Overloaded, match="Internal error"):
        run(main)
    text = joined(came)
    assert text
    assert TEXT.startswith(text)
    assert text != TEXT


def test_what_we_send_is_in_the_schema() -> None:
    full = FimRequest("m", "a", "b", max_tokens=1, temperature=0, top_p=0.5, stop="x", min_tokens=1, random_seed=0)
    for request in (REQUEST, full):
        run(lambda r=request: ask(client(sandbox()), r))  # type: ignore[misc]


def test_what_we_should_not_send_is_told() -> None:
    async def main() -> None:
        with pytest.raises(RequestRefused, match="max_tokens: Input is out of range"):
            await ask(client(sandbox()), FimRequest("m", "a", "b", max_tokens=-1))

    run(main)


# What it says.


@pytest.mark.parametrize(
    ("prompt", "suffix", "script", "text"),
    [
        (PROMPT, "", "", TEXT),
        ("total = pr", "\ntotal = price\n", "", "ice"),
        ("total = pr", "", "x\ntotal = price", "ice"),
        ("total = pr", "\ntotal = project\n", "total = price", "ice"),
        ("longer match\nlonger word\nlonger m", "", "", "atch\nlonger word"),
        ("a longer match\na longer m", "", "", "atch"),
        ("needle\n\nneedle", "", "", ""),
        ("    needle\nout\n    need", "", "", "le"),
        ("find(alphabet, alph", "", "", "abet"),
        ("alphabet = 1\nalpha", "", "", "bet = 1"),
        ("import os\nos", "", "", ""),
        ("configuration\nc", "", "", "onfiguration"),
        ("wind wind windows window window\n!w", "", "", "indow"),
        ("", "", "", ""),
        ("    ", "    x", "    y", ""),
        ("nothing like it", "", "", ""),
    ],
)
def test_continuations(prompt: str, suffix: str, script: str, text: str) -> None:
    assert continuation(prompt, suffix, script) == text


def test_the_sample_is_continued_as_it_stands() -> None:
    sample = sample_text()
    at = sample.index("known = self._items.get(")
    head = sample[: at + len("known = self._it")]
    assert sample[len(head) :].startswith(continuation(head, "", sample))
    assert continuation(head, "", sample)


def test_the_sample_is_for_the_sample_alone() -> None:
    head, _, rest = sample_text().partition("known = self._items.get(")
    line = "        known = self._items.g"
    for prompt, text in ((head + line.lstrip(), "et(" + rest.partition("\n")[0]), ("class Other:\n" + line, "")):
        assert post(fim(prompt=prompt, stop=["\n"])).json()["choices"][0]["message"]["content"] == text


@pytest.mark.parametrize(
    ("prompt", "suffix", "text"),
    [
        ("class One(Base):\n    x = 1\n\nclass Two(", "", "Base):\n    x = 1"),
        ("class Two(", "\nclass One(Base):\n    pass\nclass Three(Other):\n", "Base):\n    pass"),
        ("class One(Base):\nclass Three(Other):\nclass Two(", "", "Other):"),
        ("def one(self):\nasync def two(me):\ndef three(", "", "self):\nasync def two(me):"),
        ("    def one(self):\ndef two(", "", ""),
        ("add(a, 1)\nadd(b, 2)\nadd(a, ", "", "1)\nadd(b, 2)"),
        ("put(one, two, 1)\nput(one, six, 2)\nput(six, two, ", "", "2)"),
        ("class One(Base):\nclass Tw", "", ""),
        ("class One(Base):\nwith Two(", "", ""),
    ],
)
def test_a_line_goes_on_as_one_of_the_same_form(prompt: str, suffix: str, text: str) -> None:
    assert continuation(prompt, suffix) == text


TEXTS = st.text(st.sampled_from("ab (\n\r\t§\ud800𝄞\\.[*"), max_size=60) | st.text(max_size=60)


@given(TEXTS, TEXTS, TEXTS)
def test_every_continuation_stands_in_the_text_and_is_short(prompt: str, suffix: str, script: str) -> None:
    text = continuation(prompt, suffix, script)
    assert text in script or text in suffix or text in prompt
    assert text.count("\n") < MOST_LINES
    assert text == text.rstrip()
    assert continuation(prompt, suffix, script) == text


@given(TEXTS, TEXTS)
def test_any_text_can_be_asked_about(prompt: str, suffix: str) -> None:
    found = run(lambda: ask(client(sandbox()), FimRequest("m", prompt, suffix)))
    assert found[-1].finish_reason == "stop"


@pytest.mark.parametrize("filler", ["a", "ab\n", "x1 x2 x3 ", "\n", " ", "aaaaaaaaab"])
def test_no_more_of_a_long_text_counts_than_its_windows(filler: str) -> None:
    long = filler * (200_000 // len(filler))
    near = "needle in sight\n"
    far = "needle far away\n"
    assert continuation(far + long + near + "needle", long) == " in sight"
    prompt, suffix = far + long + "§needle", long + far
    assert continuation(prompt, suffix) == continuation(prompt[-WINDOW:], suffix[:WINDOW])
