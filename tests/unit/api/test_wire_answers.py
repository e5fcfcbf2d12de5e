"""Answers are read with leniency, for they differ between hosts, versions and compatible servers."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codestral_ls.api.errors import NonsenseAnswer
from codestral_ls.api.wire import (
    Chunk,
    Model,
    StreamError,
    ToolCallPart,
    Usage,
    error_text,
    excerpt,
    read_answer,
    read_chunk,
    read_models,
)

ID = "5a" * 16


def chunk(delta: Any, **fields: Any) -> str:
    choice = {"index": 0, "delta": delta, "finish_reason": None, **fields.pop("choice", {})}
    envelope = {"id": ID, "object": "chat.completion.chunk", "created": 1757437831, "model": "codestral-latest"}
    return json.dumps({**envelope, "choices": [choice], **fields})


def text(content: Any) -> str:
    found = read_answer(chunk({"content": content}))
    return found.text


@pytest.mark.parametrize(
    ("content", "read"),
    [
        ("abc", "abc"),
        (" \n", " \n"),
        ("\u2028\x85", "\u2028\x85"),
        (None, ""),
        ([], ""),
        ([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "ab"),
        ([{"text": "a"}, "b", None, 3, ["c"]], "ab"),
        ([{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "a"}], "a"),
        ([{"type": "image_url", "image_url": "x", "text": "no"}], ""),
        ([{"type": "text"}, {"type": "text", "text": None}], ""),
        (5, ""),
        (True, ""),
        ({"text": "a"}, ""),
    ],
)
def test_content(content: Any, read: str) -> None:
    assert text(content) == read


@pytest.mark.parametrize(
    "answer",
    [
        {"choices": [{"message": {"content": "x"}}]},
        {"choices": [{"index": 0, "delta": {"content": "x"}}]},
        {"choices": [{"index": None, "delta": {"content": "x"}}]},
        {"choices": [{"delta": {}, "message": {"content": "x"}}]},
        {"choices": [{"delta": None, "message": {"content": "x"}}]},
        {"choices": [{"text": "x"}]},
        {"choices": [{"delta": {"content": ""}, "text": "x"}]},
        {"content": "x", "stop": False},
        {"choices": [None, 5, {"delta": {"content": "x"}}]},
        {"choices": [{"delta": {"content": "x"}}], "error": None},
        {"choices": [{"delta": {"content": "x"}}], "message": "a note beside the answer"},
    ],
)
def test_where_text_may_sit(answer: Any) -> None:
    assert read_answer(json.dumps(answer)).text == "x"


@pytest.mark.parametrize(
    ("data", "read"),
    [
        (chunk({"role": "assistant", "content": ""}), None),
        (chunk({"content": "re"}, p="abcdefghijklmnopqr"), Chunk("re", model="codestral-latest")),
        (chunk({}, p="abc"), None),
        ("{}", None),
        ('{"choices": []}', None),
        ('{"choices": null}', None),
        ('{"choices": {"0": "x"}}', None),
        ('{"choices": "x"}', None),
        (
            chunk(
                {"content": "turn"},
                choice={"finish_reason": "stop"},
                usage={"prompt_tokens": 23, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 2}},
                p="ab",
            ),
            Chunk("turn", "stop", Usage(23, 3, 2), model="codestral-latest"),
        ),
        (chunk({"content": ""}, choice={"finish_reason": "length"}), Chunk("", "length", model="codestral-latest")),
        (chunk({}, choice={"finish_reason": "error"}), Chunk("", "error", model="codestral-latest")),
        (chunk({"content": "x"}, choice={"finish_reason": 7}), Chunk("x", model="codestral-latest")),
        ('{"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2}}', Chunk("", None, Usage(1, 2))),
        ('{"usage": {"prompt_tokens": 1, "completion_tokens": 2}}', Chunk("", None, Usage(1, 2))),
    ],
    ids=str,
)
def test_chunks(data: str, read: Chunk | None) -> None:
    assert read_chunk(data) == read


def test_several_answers_at_once_give_the_first_of_them() -> None:
    both = {"choices": [{"index": 1, "delta": {"content": "b"}}, {"index": 0, "delta": {"content": "a"}}]}
    second = {"choices": [{"index": 1, "delta": {"content": "b"}, "finish_reason": "stop"}]}
    found = read_chunk(json.dumps(both))
    assert found is not None
    assert found.text == "a"
    assert read_chunk(json.dumps(second)) is None
    assert read_chunk(json.dumps({**second, "usage": {"prompt_tokens": 1}})) == Chunk("", None, Usage(1, 0))


@pytest.mark.parametrize(
    ("usage", "read"),
    [
        (None, None),
        ({}, None),
        ([1], None),
        ("12", None),
        ({"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12, "service_tier": "standard"}, Usage(5, 7)),
        ({"prompt_tokens": 5}, Usage(5, 0)),
        ({"prompt_tokens": 5, "prompt_token_details": {"cached_tokens": 3}}, Usage(5, 0, 3)),
        ({"prompt_tokens": 5, "num_cached_tokens": 3}, Usage(5, 0, 3)),
        ({"prompt_tokens": 5, "prompt_tokens_details": None, "num_cached_tokens": 3}, Usage(5, 0, 3)),
        ({"prompt_tokens": 5.0, "completion_tokens": 7.9}, Usage(5, 7)),
        ({"prompt_tokens": "5", "completion_tokens": True}, Usage(0, 0)),
        ({"prompt_tokens": -5, "completion_tokens": None}, Usage(0, 0)),
        ({"prompt_tokens": float("nan"), "completion_tokens": float("inf")}, Usage(0, 0)),
        ({"prompt_tokens": float("-inf"), "completion_tokens": 10**300}, Usage(0, 0)),
    ],
    ids=str,
)
def test_usage(usage: Any, read: Usage | None) -> None:
    assert read_answer(chunk({"content": "x"}, usage=usage)).usage == read


WHOLE_CALL = {
    "id": "D681PevKs",
    "type": "function",
    "function": {"name": "f", "arguments": '{"a": 1}'},
    "index": 0,
}


@pytest.mark.parametrize(
    ("calls", "read"),
    [
        ([WHOLE_CALL], [ToolCallPart(0, "D681PevKs", "f", '{"a": 1}')]),
        ([{"id": "null", "function": {"name": "", "arguments": "1}"}, "index": 2}], [ToolCallPart(2, "", "", "1}")]),
        ([{"function": {"arguments": "1}"}, "index": 0}], [ToolCallPart(0, "", "", "1}")]),
        (
            [{"id": "a", "function": {"name": "f", "arguments": {"a": 1}}}, {"id": "b", "function": {"name": "g"}}],
            [ToolCallPart(0, "a", "f", '{"a": 1}'), ToolCallPart(1, "b", "g", "")],
        ),
        ([None, "x", {"id": "a", "function": None}], [ToolCallPart(2, "a", "", "")]),
        (None, []),
        ({"id": "a"}, []),
    ],
)
def test_tool_calls(calls: Any, read: list[ToolCallPart]) -> None:
    assert read_answer(chunk({"content": "", "tool_calls": calls})).tool_calls == tuple(read)


def test_the_parts_of_a_split_call_join_by_their_index() -> None:
    deltas = [
        [{"id": "D681PevKs", "function": {"name": "f", "arguments": '{"a"'}, "index": 0}],
        [{"id": "null", "function": {"name": "", "arguments": ": 1}"}, "index": 0}],
    ]
    parts = [part for calls in deltas for part in read_answer(chunk({"tool_calls": calls})).tool_calls]
    assert {part.index for part in parts} == {0}
    assert "".join(part.name for part in parts) == "f"
    assert "".join(part.id for part in parts) == "D681PevKs"
    assert json.loads("".join(part.arguments for part in parts)) == {"a": 1}


DEEP = 100_000


@pytest.mark.parametrize(
    "data",
    [
        "",
        "   ",
        "null",
        "5",
        '"text"',
        "[]",
        '[{"choices": []}]',
        "true",
        "{",
        '{"choices": [{"delta": {"content": "ab',
        "<html>",
        "Bad Gateway",
        "{'a': 1}",
        '{"a": 1} {"b": 2}',
        '{"n": ' + "9" * 5000 + "}",
        "[" * DEEP,
        '{"a":' * DEEP,
        '{"choices":[{"delta":{"content":' + "[" * DEEP + "]" * DEEP + "}}]}",
        "\x00",
    ],
    ids=lambda data: repr(data[:30]),
)
def test_nonsense(data: str) -> None:
    with pytest.raises(NonsenseAnswer) as caught:
        read_chunk(data)
    assert len(str(caught.value)) < 250
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("depth", [1, 10, 100, 200, 300, 400, 600, 900, 1000, 3000, 6000, 20_000])
@pytest.mark.parametrize(
    ("opening", "closing"),
    [
        ('{"choices":[{"delta":{"content":%s}}]}', ('[{"text":', "}]")),
        ('{"object":"error","message":%s}', ('{"message":', "}")),
        ('{"object":"error","message":%s}', ("[", "]")),
        ('{"choices":[{"delta":{"tool_calls":[{"function":{"arguments":%s}}]}}]}', ('{"a":', "}")),
    ],
    ids=["content", "message", "list of messages", "arguments"],
)
def test_no_depth_of_nesting_exhausts_the_stack(opening: str, closing: tuple[str, str], depth: int) -> None:
    data = opening % (closing[0] * depth + '"x"' + closing[1] * depth)
    try:
        read_chunk(data)
    except (NonsenseAnswer, StreamError) as error:
        assert len(str(error)) < 500  # noqa: PT017 - either is good, any other exception is not


NAMES = (  # noqa: SIM905 - one name a line would be a page
    "choices delta message content text usage error detail object index finish_reason tool_calls function arguments "
    "type prompt_tokens prompt_tokens_details loc msg data raw_status_code status code capabilities aliases id"
).split()

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(NAMES),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(JSON)
def test_any_json_is_read_or_refused(answer: Any) -> None:
    data = json.dumps(answer)
    try:
        found = read_chunk(data)
    except StreamError as error:
        assert 400 <= error.status <= 599  # noqa: PT017
    except NonsenseAnswer:
        pass
    else:
        assert found is None or isinstance(found.text, str)
    try:
        models = read_models(data)
    except NonsenseAnswer:
        pass
    else:
        assert all(isinstance(model.id, str) for model in models)
    assert isinstance(error_text(answer), str)


INTERNAL = {
    "object": "error",
    "message": "Internal error",
    "type": "internal_error",
    "code": "3000",
    "raw_status_code": 500,
}


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (INTERNAL, 500, "Internal error"),
        ({**INTERNAL, "raw_status_code": 429}, 429, "Internal error"),
        ({**INTERNAL, "object": "Error"}, 500, "Internal error"),
        ({"error": {"message": "too busy", "code": 503}}, 503, "too busy"),
        ({"error": "too busy"}, 500, "too busy"),
        ({"error": {"message": "too busy"}, "choices": []}, 500, "too busy"),
        ({"error": {"message": "too busy"}, "choices": None}, 500, "too busy"),
        ({"detail": "Unauthorized", "status": 401}, 401, "Unauthorized"),
        ({"object": "error", "message": "no", "type": "rate_limited", "code": "1300"}, 429, "no"),
        ({"object": "error", "message": "no", "type": "tier_not_allowed", "code": "1910"}, 403, "no"),
        ({"object": "error", "message": "no", "type": "invalid_model"}, 400, "no"),
        ({"object": "error", "message": "no", "raw_status_code": 200}, 500, "no"),
        ({"object": "error", "message": "no", "raw_status_code": True, "code": 3001}, 500, "no"),
        ({"object": "error"}, 500, ""),
        ({"object": "error", "message": "no", "choices": [{"delta": {"content": "x"}}]}, 500, "no"),
    ],
)
def test_an_error_in_the_middle_of_a_stream(body: Any, status: int, words: str) -> None:
    with pytest.raises(StreamError) as caught:
        read_chunk(json.dumps(body))
    assert (caught.value.status, str(caught.value)) == (status, words)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"detail": "Invalid API Key"}, "Invalid API Key"),
        ({"message": "Unauthorized", "request_id": "ab" * 16}, "Unauthorized"),
        ({"object": "error", "message": "Rate limit exceeded", "type": "rate_limited"}, "Rate limit exceeded"),
        (
            {
                "detail": [
                    {"type": "extra_forbidden", "loc": ["body", "store"], "msg": "Extra inputs are not permitted"}
                ]
            },
            "store: Extra inputs are not permitted",
        ),
        ({"detail": [{"msg": "wrong", "loc": ["body", "messages", 0, "str"]}]}, "messages.0.str: wrong"),
        ({"detail": [{"msg": "a"}, {"msg": "b"}, {"msg": "c"}, {"msg": "d"}]}, "a; b; c"),
        ({"detail": [{"msg": "wrong", "loc": None}]}, "wrong"),
        ({"detail": [{"msg": "wrong", "loc": 5}]}, "wrong"),
        ({"object": "error", "message": {"detail": [{"msg": "wrong"}]}}, "wrong"),
        ({"object": "Error", "detail": [{"msg": "b"}], "message": [{"msg": "a"}], "code": 3001}, "a"),
        ({"message": json.dumps({"detail": [{"msg": "wrong"}]})}, "wrong"),
        ({"message": "{not JSON"}, "{not JSON"),
        ({"message": "[]"}, "[]"),
        ({"message": {}, "detail": "there"}, "there"),
        ({"error": {"type": "model_context_exceeded"}}, ""),
        ({"error": {"message": "inner"}}, "inner"),
        ({"message": 5}, ""),
        ({}, ""),
        ([], ""),
        (None, ""),
        ("two\nlines", "two lines"),
    ],
)
def test_the_human_part_of_an_error(body: Any, words: str) -> None:
    assert error_text(body) == words


def test_the_human_part_has_an_end() -> None:
    assert len(error_text({"message": "x" * 10_000})) == 400
    assert len(error_text({"detail": [{"msg": "x" * 10_000, "loc": ["y" * 10_000]}] * 10})) < 1300


@pytest.mark.parametrize(
    ("given_text", "shown"),
    [("", ""), ("  a \r\n\t b  ", "a b"), ("abcde", "abcde"), ("abcdef", "abcd…"), ("a\u2028b", "a b")],
)
def test_an_excerpt_is_one_short_line(given_text: str, shown: str) -> None:
    assert excerpt(given_text, 5) == shown


CARD = {
    "id": "codestral-2508",
    "object": "model",
    "capabilities": {"completion_chat": True, "function_calling": True, "completion_fim": True, "vision": False},
    "max_context_length": 256000,
    "aliases": ["codestral-latest", "mistral-code-latest"],
    "deprecation": None,
}


@pytest.mark.parametrize(
    ("card", "read"),
    [
        (CARD, [Model("codestral-2508", True, True, ("codestral-latest", "mistral-code-latest"), 256000)]),
        ({"id": "m", "capabilities": {"completion_fim": False}}, [Model("m", False, False)]),
        # Compatible servers list ids alone: what they don't say is not held against a model.
        ({"id": "m"}, [Model("m", True, True)]),
        ({"id": "m", "aliases": None, "max_context_length": "big", "capabilities": {}}, [Model("m", False, False)]),
        ({"id": "m", "aliases": [1, "n"], "max_context_length": 0}, [Model("m", True, True, ("n",))]),
        ({"id": 5}, []),
        ({"name": "m"}, []),
        (None, []),
        ("m", []),
    ],
)
def test_models(card: Any, read: list[Model]) -> None:
    assert read_models(json.dumps({"object": "list", "data": [card]})) == tuple(read)
    assert read_models(json.dumps([card])) == tuple(read)


@pytest.mark.parametrize("data", ["", "{}", "5", '"x"', "<html>", '{"data": null}', '{"data": "x"}', '{"data": {}}'])
def test_a_list_of_models_that_is_none(data: str) -> None:
    with pytest.raises(NonsenseAnswer, match="list of models"):
        read_models(data)


def test_a_deep_list_of_models() -> None:
    with pytest.raises(NonsenseAnswer, match="list of models"):
        read_models('{"data":' * DEEP)
