"""The scripted API is what other tests take for Mistral's: it must refuse, stream and notice as that one does."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))  # tests/, where `support` lives

from support import mistral_wire as wire
from support.api_server import DEFAULT_KEY, Answer, ScriptedApi, writes

FIM = {"model": "codestral-latest", "prompt": "def f(", "suffix": ")"}
KEY = {"Authorization": f"Bearer {DEFAULT_KEY}"}
LIMIT = 20  # seconds


@pytest.fixture
def api() -> Iterator[ScriptedApi]:
    with ScriptedApi(Answer("a, b")) as api:
        yield api


def post(api: ScriptedApi, body: object, path: str = wire.FIM_PATH, **headers: str) -> httpx.Response:
    return httpx.post(api.url + path, json=body, headers=KEY | headers, trust_env=False)


def test_a_whole_answer_has_the_chat_shape(api: ScriptedApi) -> None:
    answer = post(api, FIM).json()
    assert answer["object"] == "chat.completion"
    assert answer["choices"][0]["message"]["content"] == "a, b"
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert answer["usage"]["total_tokens"] == answer["usage"]["prompt_tokens"] + answer["usage"]["completion_tokens"]


def test_a_stream_has_role_padding_usage_and_the_end_mark(api: ScriptedApi) -> None:
    answer = post(api, FIM | {"stream": True})
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    *events, done = [event.removeprefix("data: ") for event in answer.text.strip().split("\n\n")]
    first, *rest = [json.loads(event) for event in events]
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert "p" not in first
    assert "".join(chunk["choices"][0]["delta"]["content"] for chunk in rest) == "a, b"
    assert all(chunk["p"] for chunk in rest)
    assert [chunk["choices"][0]["finish_reason"] for chunk in rest][-1] == "stop"
    assert ["usage" in chunk for chunk in rest] == [False] * (len(rest) - 1) + [True]
    assert done == "[DONE]"


@pytest.mark.parametrize(
    ("body", "kind", "field"),
    [
        (FIM | {"n": 1}, "extra_forbidden", "n"),
        (FIM | {"stream_options": {}}, "extra_forbidden", "stream_options"),
        ({"model": "codestral-latest"}, "missing", "prompt"),
        (FIM | {"prompt": None}, "string_type", "prompt"),
        (FIM | {"max_tokens": True}, "int_type", "max_tokens"),
        (FIM | {"temperature": 1.6}, "less_than_equal", "temperature"),
    ],
)
def test_a_body_out_of_the_schema_is_refused(api: ScriptedApi, body: object, kind: str, field: str) -> None:
    answer = post(api, body)
    assert answer.status_code == 422
    [detail] = answer.json()["detail"]
    assert (detail["type"], detail["loc"]) == (kind, ["body", field])


@pytest.mark.parametrize("field", ["min_tokens", "stop", "random_seed", "suffix", "metadata"])
def test_a_nullable_field_may_be_null(api: ScriptedApi, field: str) -> None:
    assert post(api, FIM | {field: None}).status_code == 200


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (FIM | {"model": "gpt"}, "1500"),
        (FIM | {"model": "mistral-small-latest"}, "3051"),
        (FIM | {"temperature": 0, "top_p": 0.5}, "3051"),
    ],
)
def test_a_body_against_the_rules_is_a_400(api: ScriptedApi, body: object, code: str) -> None:
    answer = post(api, body)
    assert (answer.status_code, answer.json()["code"]) == (400, code)


def test_a_wrong_key_and_a_wrong_path_are_told(api: ScriptedApi) -> None:
    assert post(api, FIM, Authorization="Bearer no").status_code == 401
    assert post(api, FIM, path="/v1/completions").status_code == 404


def test_stop_and_max_tokens_end_the_text(api: ScriptedApi) -> None:
    api.script = Answer("one\ntwo")
    assert post(api, FIM | {"stop": ["\n"]}).json()["choices"][0]["message"]["content"] == "one"
    choice = post(api, FIM | {"max_tokens": 1}).json()["choices"][0]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("one\n", "length")


def test_a_client_that_hangs_up_is_noticed_and_one_that_stays_is_not(api: ScriptedApi) -> None:
    api.script = Answer("and on ", endless=True, pace=0.01)
    with httpx.stream(
        "POST", api.url + wire.FIM_PATH, json=FIM | {"stream": True}, headers=KEY, trust_env=False
    ) as answer:
        next(answer.iter_raw())
        assert not api.requests[0].hung_up.is_set()
    assert api.requests[0].hung_up.wait(LIMIT)
    api.script = Answer("whole")
    post(api, FIM)
    assert api.requests[1].finished.wait(LIMIT)
    assert not api.requests[1].hung_up.is_set()


def test_a_silent_answer_notices_the_hang_up_too(api: ScriptedApi) -> None:
    api.script = Answer("late", first_after=LIMIT)
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(api.url + wire.FIM_PATH, json=FIM, headers=KEY, timeout=0.2, trust_env=False)
    assert api.requests[0].hung_up.wait(LIMIT)


def test_requests_keep_path_headers_and_body(api: ScriptedApi) -> None:
    post(api, FIM, **{"X-Test": "1"})
    [request] = api.completions
    assert (request.path, request.headers["x-test"], request.body) == (wire.FIM_PATH, "1", FIM)
    assert (request.prompt, request.suffix) == ("def f(", ")")


@pytest.mark.parametrize(
    ("prompt", "suffix", "text"),
    [("def f(", "b)\n", "a, "), ("def f(x", "b)\n", ""), ("def f(", "c)\n", ""), ("def f(a, b)", "b)\n", "")],
)
def test_a_model_with_a_document_in_mind_completes_only_that(
    api: ScriptedApi, prompt: str, suffix: str, text: str
) -> None:
    api.script = writes("def f(a, b)\n")
    answer = post(api, FIM | {"prompt": prompt, "suffix": suffix}).json()
    assert answer["choices"][0]["message"]["content"] == text
