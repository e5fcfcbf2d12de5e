"""Request bodies: exactly the fields of the schema, for the API refuses every other with 422."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codestral_ls.api.wire import ChatRequest, FimRequest

FIM = FimRequest("m", "before", "after")
CHAT = ChatRequest("m", [{"role": "user", "content": "hello"}])

# The two closed schemas, as Mistral publishes them (docs.mistral.ai/api).
FIM_SCHEMA = {
    "model", "prompt", "suffix", "temperature", "top_p", "max_tokens", "min_tokens", "stop", "random_seed", "stream",
    "metadata", "prompt_cache_key",
}  # fmt: skip
CHAT_SCHEMA = {
    "model", "messages", "temperature", "top_p", "max_tokens", "stream", "stop", "random_seed", "metadata",
    "response_format", "tools", "tool_choice", "parallel_tool_calls", "presence_penalty", "frequency_penalty", "n",
    "prediction", "reasoning_effort", "prompt_mode", "guardrails", "prompt_cache_key", "service_tier", "safe_prompt",
}  # fmt: skip

TOOL = {"type": "function", "function": {"name": "f", "parameters": {}}}


def sent(request: FimRequest | ChatRequest, **options: Any) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(request.body(**options).decode("utf-8"))
    return body


def test_a_plain_fim_request() -> None:
    assert FIM.body() == b'{"model":"m","prompt":"before","suffix":"after","stream":true}'


def test_a_plain_chat_request() -> None:
    assert CHAT.body() == b'{"model":"m","messages":[{"role":"user","content":"hello"}],"stream":true}'


def test_every_field_of_a_fim_request() -> None:
    request = FimRequest(
        "m", "a", "b", max_tokens=0, temperature=0.5, top_p=0.9, stop=["\n"], min_tokens=1, random_seed=0
    )
    assert sent(request, stream=False) == {
        "model": "m",
        "prompt": "a",
        "suffix": "b",
        "stream": False,
        "max_tokens": 0,
        "min_tokens": 1,
        "temperature": 0.5,
        "top_p": 0.9,
        "stop": ["\n"],
        "random_seed": 0,
    }
    assert set(sent(request)) <= FIM_SCHEMA


def test_every_field_of_a_chat_request() -> None:
    request = ChatRequest(
        "m",
        [{"role": "user", "content": "x"}],
        max_tokens=5,
        temperature=0.5,
        top_p=0.9,
        stop=["\n"],
        tools=[TOOL],
        tool_choice="any",
        prediction="old",
    )
    assert sent(request) == {
        "model": "m",
        "messages": [{"role": "user", "content": "x"}],
        "stream": True,
        "max_tokens": 5,
        "temperature": 0.5,
        "top_p": 0.9,
        "stop": ["\n"],
        "tools": [TOOL],
        "tool_choice": "any",
        "prediction": {"type": "content", "content": "old"},
    }
    assert set(sent(request)) <= CHAT_SCHEMA


def test_a_tool_choice_goes_with_tools_only() -> None:
    assert "tool_choice" not in sent(ChatRequest("m", [], tool_choice="any"))


@pytest.mark.parametrize("kind", [FimRequest, ChatRequest])
@pytest.mark.parametrize(("temperature", "top_p"), [(0, None), (0.0, None), (0.1, 0.5), (None, 0.5)])
def test_greedy_sampling_goes_without_top_p(kind: type[Any], temperature: float | None, top_p: float | None) -> None:
    # "top_p must be 1 when using greedy sampling", and 1 is what it is if it is left out.
    request = FimRequest("m", "a", "b", temperature=temperature, top_p=0.5)
    if kind is ChatRequest:
        request = ChatRequest("m", [], temperature=temperature, top_p=0.5)
    assert sent(request).get("top_p") == top_p
    assert sent(request).get("temperature") == temperature


@pytest.mark.parametrize(
    ("stop", "body"),
    [((), None), ([], None), (["\n"], ["\n"]), (["a", "", "b"], ["a", "b"]), ([""], None), ("ab", ["ab"]), ("", None)],
)
def test_stops(stop: Any, body: list[str] | None) -> None:
    assert sent(FimRequest("m", "a", "b", stop=stop)).get("stop") == body
    assert sent(ChatRequest("m", [], stop=stop)).get("stop") == body


@pytest.mark.parametrize(("prompt", "suffix"), [("", ""), ("a", ""), ("", "b"), ("a \n", "\n"), ("\u2028\x85", "\x00")])
def test_prompt_and_suffix_are_sent_as_they_are(prompt: str, suffix: str) -> None:
    body = sent(FimRequest("m", prompt, suffix))
    assert (body["prompt"], body["suffix"]) == (prompt, suffix)


@pytest.mark.parametrize(
    ("text", "received"),
    [
        ("a\ud800b", "a\ufffdb"),
        ("\udc00", "\ufffd"),
        ("\udc00\ud800", "\ufffd\ufffd"),
        ("\ud834\udd1e", "𝄞"),
        ("𝄞\ud834", "𝄞\ufffd"),
        ("\ufeffa\ud800", "\ufeffa\ufffd"),
        ("größer 𝄞", "größer 𝄞"),
    ],
)
def test_halves_of_surrogate_pairs_are_replaced_wherever_they_stand(text: str, received: str) -> None:
    fim = sent(FimRequest(text, text, text, stop=[text]))
    assert fim == {"model": received, "prompt": received, "suffix": received, "stream": True, "stop": [received]}
    parts = [{"type": "text", "text": text}]
    messages = [{"role": "user", "content": text}, {"role": "user", "content": parts}]
    chat = sent(ChatRequest("m", messages, prediction=text, tools=[{"x": text}]))
    assert chat["messages"] == [
        {"role": "user", "content": received},
        {"role": "user", "content": [{"type": "text", "text": received}]},
    ]
    assert chat["prediction"]["content"] == received
    assert chat["tools"] == [{"x": received}]


@given(prompt=st.text(), suffix=st.text())
def test_any_text_arrives(prompt: str, suffix: str) -> None:
    body = sent(FimRequest("m", prompt, suffix))
    assert (body["prompt"], body["suffix"]) == (prompt, suffix)


@given(text=st.text(st.characters() | st.characters(categories=["Cs"])))
def test_no_text_fails(text: str) -> None:
    received = sent(FimRequest("m", text, ""))["prompt"]
    assert received.encode("utf-8").decode("utf-8") == received


def test_a_request_does_not_change_what_it_was_given() -> None:
    message = {"role": "user", "content": "\ud800"}
    ChatRequest("m", [message]).body()
    assert message == {"role": "user", "content": "\ud800"}
