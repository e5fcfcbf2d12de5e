"""textDocument/inlineCompletion against the real process and a scripted API."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Iterator

import pytest
from support.api_server import Answer, Request, ScriptedApi
from support.lsp_client import INLINE, LIMIT, LspClient, inline_params, insertion
from support.mistral_wire import Failure, answer_body

_numbers = itertools.count()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LspClient, ScriptedApi]]:
    with ScriptedApi() as api:
        variables = {"MISTRAL_API_KEY": api.key, "CODESTRAL_LS_BASE_URL": api.url, "CODESTRAL_LS_DEBOUNCE_MS": "0"}
        with LspClient(tmp_path_factory.mktemp("inline"), variables) as client:
            client.initialize()
            yield client, api


@pytest.fixture
def api(shared: tuple[LspClient, ScriptedApi]) -> ScriptedApi:
    shared[1].script = Answer("done()")
    return shared[1]


@pytest.fixture
def client(shared: tuple[LspClient, ScriptedApi], api: ScriptedApi) -> Iterator[LspClient]:
    """One server for all tests here; each opens a document of its own."""
    shared[0].forget()
    yield shared[0]
    shared[0].settle()
    assert shared[0].messages == []
    assert shared[0].stderr == ""
    shared[0].assert_quiet()


@pytest.fixture
def uri() -> str:
    return f"file:///work/file{next(_numbers)}.py"


def last(api: ScriptedApi) -> Request:
    return api.completions[-1]


def test_the_api_gets_the_text_round_the_cursor_and_the_item_its_answer(
    client: LspClient, api: ScriptedApi, uri: str
) -> None:
    client.open(uri, "def f(x):\n    return \n\nprint(f(1))\n")
    api.script = Answer("x + 1")
    (item,) = client.complete(uri, 1, 11, kind=2)
    assert (last(api).prompt, last(api).suffix) == ("def f(x):\n    return ", "\n\nprint(f(1))\n")
    at = {"line": 1, "character": 11}
    assert item == {
        "insertText": "x + 1",
        "range": {"start": at, "end": at},
        "command": {"title": "Accepted", "command": "codestral-ls.accepted"},
    }


def test_a_document_that_was_never_opened_has_no_completions(client: LspClient, api: ScriptedApi) -> None:
    before = len(api.completions)
    for strange in ("file:///never.py", "", "untitled:1", "http://[broken", "file://\x00", "%zz"):
        assert client.complete(strange, 0, 0) == []
    assert len(api.completions) == before


@pytest.mark.parametrize("strange", ["untitled:Untitled-1", "http://[broken", "file://host/a b\u00e4.py", "x", ""])
def test_a_document_may_have_any_name(client: LspClient, strange: str) -> None:
    client.open(strange, "y = \n")
    assert [item["insertText"] for item in client.complete(strange, 0, 4)] == ["done()"]


def test_a_closed_document_has_no_completions(client: LspClient, uri: str) -> None:
    client.open(uri, "x = \n")
    client.notify("textDocument/didClose", {"textDocument": {"uri": uri}})
    assert client.complete(uri, 0, 4) == []


@pytest.mark.parametrize(
    "context",
    [None, {}, [], {"triggerKind": None}, {"triggerKind": "1"}, {"triggerKind": 9}, {"triggerKind": True}, 7],
)
def test_a_context_of_any_form_is_forgiven(client: LspClient, uri: str, context: object) -> None:
    client.open(uri, "x = \n")
    params = {**inline_params(uri, 0, 4), "context": context}
    assert client.ask("textDocument/inlineCompletion", params)["items"]


def test_a_missing_context_is_forgiven(client: LspClient, uri: str) -> None:
    client.open(uri, "x = \n")
    params = inline_params(uri, 0, 4)
    del params["context"]
    assert client.ask("textDocument/inlineCompletion", params)["items"]


def test_what_else_an_editor_sends_along_is_forgiven(client: LspClient, uri: str) -> None:
    client.open(uri, "x = \n")
    params = inline_params(uri, 0, 4) | {"formattingOptions": {"tabSize": 4}, "workDoneToken": "t"}
    params["textDocument"]["version"] = 1
    params["context"]["selectedCompletionInfo"] = None
    assert client.ask("textDocument/inlineCompletion", params)["items"]


@pytest.mark.parametrize(
    "position",
    [
        None,
        {},
        {"line": None, "character": None},
        {"line": "0", "character": 4},
        {"line": 0.5, "character": 0},
        [0, 4],
        7,
    ],
)
def test_a_position_of_the_wrong_shape_is_refused_or_read(client: LspClient, uri: str, position: object) -> None:
    client.open(uri, "x = \n")
    answer = client.request("textDocument/inlineCompletion", {**inline_params(uri, 0, 0), "position": position})
    reply = answer.answer()
    assert "result" in reply or reply["error"]["code"] == -32602
    client.settle()
    assert client.messages == []
    client.forget()


@pytest.mark.parametrize("params", [None, [], "text", 7, {}, {"textDocument": None}, {"textDocument": {"uri": 7}}])
def test_parameters_of_the_wrong_shape_are_refused(client: LspClient, params: object) -> None:
    assert client.request("textDocument/inlineCompletion", params).error().code == -32602
    client.wait_for(lambda: "cannot be read" in client.stderr, "a line in the log")
    assert client.messages == []
    client.forget()


@pytest.mark.parametrize(("line", "character"), [(99, 0), (0, 99), (1, 99), (2**31 - 1, 2**31 - 1)])
def test_a_position_behind_the_end_is_clamped(
    client: LspClient, api: ScriptedApi, uri: str, line: int, character: int
) -> None:
    client.open(uri, "x = \ny = ")
    client.complete(uri, line, character)
    request = last(api)
    assert request.prompt + request.suffix == "x = \ny = "
    assert request.prompt == ("x = " if line == 0 else "x = \ny = ")


@pytest.mark.parametrize(
    "text",
    [
        "a = 1\r\nb = \r\nc = 3\r\n",
        "a = 1\rb = \rc = 3\r",
        "a\x0c = '\u2028\u2029\x85\x0b\x1c'\nb = \nc = 3\n",
        "a = '\U0001f600\u00e4'\nb = \nc = '\U00010348'\n",
        "\ufeffa\nb = \n",
    ],
    ids=["crlf", "cr", "form feed and friends", "astral", "bom"],
)
def test_lines_end_where_the_protocol_says(client: LspClient, api: ScriptedApi, uri: str, text: str) -> None:
    client.open(uri, text)
    (item,) = client.complete(uri, 1, 4)
    assert item["range"]["start"] == {"line": 1, "character": 4}
    at = text.index("b = ") + 4
    assert (last(api).prompt, last(api).suffix) == (text[:at], text[at:])


def test_a_suggestion_takes_the_line_ends_of_the_document(client: LspClient, api: ScriptedApi, uri: str) -> None:
    client.open(uri, "def f(x):\r\n    \r\n")
    api.script = Answer("y = x\n    return y")
    (item,) = client.complete(uri, 1, 4)
    assert item["insertText"] == "y = x\r\n    return y"


def test_lone_surrogates_from_the_editor_harm_nobody(client: LspClient, api: ScriptedApi, uri: str) -> None:
    client.open(uri, "s = '\ud800'\nx = \n")
    assert [item["insertText"] for item in client.complete(uri, 1, 4)] == ["done()"]
    assert last(api).suffix == "\n"
    client.change(uri, insertion(0, 5, "\udfff"))
    assert client.complete(uri, 1, 3, kind=1)


def test_a_lone_surrogate_from_the_api_harms_nobody(client: LspClient, api: ScriptedApi, uri: str) -> None:
    body = answer_body("codestral-latest", "", "f('\ud83d')", "stop")
    api.script = Failure(200, json.dumps(body).encode())
    client.open(uri, "x = \n")
    assert client.complete(uri, 0, 4) == []


def test_a_gesture_asks_at_a_place_where_typing_does_not(client: LspClient, api: ScriptedApi, uri: str) -> None:
    client.open(uri, "foobar\n")
    before = len(api.completions)
    assert client.complete(uri, 0, 3, kind=2) == []
    assert len(api.completions) == before
    client.complete(uri, 0, 3, kind=1)
    assert len(api.completions) == before + 1


def test_nothing_to_add_is_an_empty_list(client: LspClient, api: ScriptedApi, uri: str) -> None:
    api.script = Answer("  \n")
    client.open(uri, "x = \n")
    assert client.complete(uri, 0, 4) == []


def test_a_file_of_secrets_is_not_sent(client: LspClient, api: ScriptedApi) -> None:
    before = len(api.completions)
    for secret in ("file:///work/.env", "file:///work/id_rsa", "file:///work/server.pem"):
        client.open(secret, "PASSWORD=\n", "plaintext")
        assert client.complete(secret, 0, 9) == []
    assert len(api.completions) == before


def test_what_is_typed_along_a_suggestion_is_known(client: LspClient, api: ScriptedApi, uri: str) -> None:
    api.script = Answer("compute(a, b)")
    client.open(uri, "x = \n")
    client.complete(uri, 0, 4, kind=2)
    before = len(api.completions)
    client.change(uri, insertion(0, 4, "com"))
    (item,) = client.complete(uri, 0, 7, kind=2)
    assert item["insertText"] == "pute(a, b)"
    assert item["range"]["start"] == {"line": 0, "character": 7}
    assert len(api.completions) == before


def test_an_answer_is_shortened_by_what_was_typed_along_meanwhile(
    client: LspClient, api: ScriptedApi, uri: str
) -> None:
    api.script = Answer("compute(a, b)", first_after=0.4)
    client.open(uri, "x = \n")
    asked = len(api.completions)
    pending = client.request_inline(uri, 0, 4)
    client.wait_for(lambda: len(api.completions) > asked, "the request at the API")
    client.change(uri, insertion(0, 4, "co"))
    client.change(uri, insertion(0, 6, "m"))
    (item,) = pending.result()["items"]
    assert item["insertText"] == "pute(a, b)"
    assert item["range"]["start"] == {"line": 0, "character": 7}


def test_an_answer_that_the_text_has_left_behind_is_dropped(client: LspClient, api: ScriptedApi, uri: str) -> None:
    api.script = Answer("compute(a, b)", first_after=0.4)
    client.open(uri, "x = \n")
    asked = len(api.completions)
    pending = client.request_inline(uri, 0, 4)
    client.wait_for(lambda: len(api.completions) > asked, "the request at the API")
    client.change(uri, insertion(0, 4, "other"))
    assert pending.result() == {"items": []}


@pytest.mark.parametrize("text", [None, "x = \n", "entirely different\n"], ids=["closed", "opened again", "replaced"])
def test_an_answer_for_a_document_that_was_closed_is_dropped(
    client: LspClient, api: ScriptedApi, uri: str, text: str | None
) -> None:
    api.script = Answer("compute(a, b)", first_after=0.4)
    client.open(uri, "x = \n")
    asked = len(api.completions)
    pending = client.request_inline(uri, 0, 4)
    client.wait_for(lambda: len(api.completions) > asked, "the request at the API")
    client.notify("textDocument/didClose", {"textDocument": {"uri": uri}})
    if text is not None:
        client.open(uri, text)
    assert pending.result() == {"items": []}


@pytest.mark.parametrize(
    ("elsewhere", "typed"),
    [("y" * 20_000, 2), ("y", 32)],
    ids=["a paste that the history does not keep", "more edits than the history keeps"],
)
def test_an_answer_is_dropped_if_not_all_that_changed_is_known(
    client: LspClient, api: ScriptedApi, uri: str, elsewhere: str, typed: int
) -> None:
    suggestion = "compute(first_argument, second_argument, third_argument)"
    api.script = Answer(suggestion, first_after=0.4)
    client.open(uri, "x = \n\nz\n")
    asked = len(api.completions)
    pending = client.request_inline(uri, 0, 4)
    client.wait_for(lambda: len(api.completions) > asked, "the request at the API")
    client.send(
        client.change_message(uri, insertion(2, 0, elsewhere)),
        *(client.change_message(uri, insertion(0, 4 + at, suggestion[at])) for at in range(typed)),
    )
    assert pending.result() == {"items": []}


def test_the_older_request_is_cancelled_and_the_newer_answered(client: LspClient, api: ScriptedApi, uri: str) -> None:
    api.script = lambda request: Answer("1", first_after=20 if request.prompt.endswith("= ") else 0)
    client.open(uri, "x = \ny =\n")
    older = client.request_inline(uri, 0, 4)
    newer = client.request_inline(uri, 1, 3)
    assert older.error().code == -32800
    assert newer.result()["items"]


def test_requests_for_two_documents_do_not_meet(client: LspClient, api: ScriptedApi, uri: str) -> None:
    api.script = Answer("1", first_after=0.1)
    client.open(uri, "x = \n")
    client.open(uri + "i", "y = \n")
    first, second = client.request_inline(uri, 0, 4), client.request_inline(uri + "i", 0, 4)
    assert first.result()["items"]
    assert second.result()["items"]


def test_a_cancelled_request_ends_at_the_api(client: LspClient, api: ScriptedApi, uri: str) -> None:
    api.script = Answer("again ", endless=True, pace=0.02, first_after=0.02)
    client.open(uri, "def f():\n    \n")
    asked = len(api.completions)
    pending = client.request_inline(uri, 1, 4)
    client.wait_for(lambda: len(api.completions) > asked, "the request at the API")
    client.notify("$/cancelRequest", {"id": pending.id})
    assert pending.error().code == -32800
    assert last(api).hung_up.wait(LIMIT)


def test_an_answer_without_end_is_ended_when_it_has_its_shape(client: LspClient, api: ScriptedApi, uri: str) -> None:
    api.script = Answer("value = 1\n", endless=True)
    client.open(uri, "x = \n")
    assert [item["insertText"] for item in client.complete(uri, 0, 4, kind=2)] == ["value = 1"]
    assert last(api).hung_up.wait(LIMIT)


def test_every_request_of_a_storm_is_answered_once(client: LspClient, api: ScriptedApi, uri: str) -> None:
    dice = random.Random(7)
    api.script = lambda _request: Answer("result()", first_after=dice.random() * 0.05)
    client.open(uri, "".join(f"name{number} = \n" for number in range(50)))
    pending, cancelled = [], set()
    for _ in range(200):
        line = dice.randrange(50)
        pending.append(client.request_inline(uri, line, len(f"name{line} = "), kind=dice.choice((1, 2))))
        if dice.random() < 0.2:
            victim = dice.choice(pending[:-1] or pending)
            if victim is not pending[-1]:
                cancelled.add(victim.id)
                client.notify("$/cancelRequest", {"id": victim.id})
        if dice.random() < 0.3:
            client.settle()
        if dice.random() < 0.3:
            client.change(uri, insertion(line, len(f"name{line} = "), ""))
    newest = pending[-1].result()
    assert newest["items"], "the newest is answered with what the API said"
    client.settle()
    for request in pending:
        assert len(request.answers) == 1
        if "error" in request.answers[0]:
            assert request.answers[0]["error"]["code"] == -32800
        else:
            assert isinstance(request.answers[0]["result"]["items"], list)
    assert any("error" in request.answers[0] for request in pending)
    assert cancelled


@pytest.mark.parametrize("tcp", [False, True], ids=["stdio", "tcp"])
def test_a_change_in_the_same_packet_comes_after_the_request(
    tmp_path_factory: pytest.TempPathFactory, api: ScriptedApi, tcp: bool
) -> None:
    variables = {"MISTRAL_API_KEY": api.key, "CODESTRAL_LS_BASE_URL": api.url}
    with LspClient(tmp_path_factory.mktemp("order"), variables, tcp=tcp) as client:
        client.initialize()
        client.open("file:///a.py", "x = \n")
        pending, message = client.prepare("textDocument/inlineCompletion", inline_params("file:///a.py", 0, 4))
        client.send(message, client.change_message("file:///a.py", {"text": "entirely different\n"}))
        assert pending.result() == {"items": []}
        assert (last(api).prompt, last(api).suffix) == ("x = ", "\n")
        assert client.shut_down() == 0


def test_a_connection_that_counts_triggers_from_0(tmp_path_factory: pytest.TempPathFactory, api: ScriptedApi) -> None:
    variables = {"MISTRAL_API_KEY": api.key, "CODESTRAL_LS_BASE_URL": api.url}
    with LspClient(tmp_path_factory.mktemp("zero"), variables) as client:
        client.initialize()
        client.open("file:///a.py", "word\n")
        before = len(api.completions)
        client.complete("file:///a.py", 0, 2, kind=1)
        assert len(api.completions) == before + 1  # 1 was a gesture until now
        client.change("file:///a.py", insertion(0, 0, "a"))
        client.complete("file:///a.py", 0, 2, kind=0)
        assert len(api.completions) == before + 2
        client.change("file:///a.py", insertion(0, 0, "b"))
        assert client.complete("file:///a.py", 0, 2, kind=1) == []
        assert len(api.completions) == before + 2  # and is typing from then on


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-32"])
def test_after_ten_thousand_random_edits_the_api_gets_the_text_of_the_client(
    tmp_path_factory: pytest.TempPathFactory, api: ScriptedApi, encoding: str
) -> None:
    variables = {
        "MISTRAL_API_KEY": api.key,
        "CODESTRAL_LS_BASE_URL": api.url,
        "CODESTRAL_LS_PREFIX_CHARS": "200000",
        "CODESTRAL_LS_SUFFIX_CHARS": "200000",
    }
    dice = random.Random(encoding)
    text = "start\r\nof the\rdocument\n"
    with LspClient(tmp_path_factory.mktemp(encoding), variables) as client:
        client.initialize({**INLINE, "general": {"positionEncodings": [encoding]}})
        client.open("file:///a.py", text)
        batch: list[dict[str, object]] = []
        for number in range(10_000):
            first, second = sorted((dice.randrange(len(text) + 1), dice.randrange(len(text) + 1)))
            # Small edits, which keep the text at a few hundred characters.
            second = min(second, first + dice.choice((0, 0, 1, 3, 12)))
            start, end = (Position.of(text, at, encoding) for at in (first, second))
            new = "".join(dice.choices(PIECES, k=dice.choice((0, 1, 1, 2)))) if len(text) < 600 else ""
            where = [start, end] if dice.random() < 0.95 else [end, start]  # some clients send them reversed
            batch.append({"range": {"start": where[0], "end": where[1]}, "text": new})
            text = text[: start["at"]] + new + text[end["at"] :]
            if dice.random() < 0.2 or number == 9_999:
                client.change("file:///a.py", *batch)
                batch = []
        offset = len(text) // 2
        at = Position.of(text, offset, encoding)
        client.complete("file:///a.py", at["line"], at["character"])
        request = last(api)
        assert request.prompt + request.suffix == text
        assert request.prompt == text[: at["at"]]


PIECES = ["a", "b ", "\n", "\r\n", "\r", "\x0c", "\u2028", "\x85", "\u00e4", "\u20ac", "\U0001f600", "x = 1", "\t"]


class Position(dict[str, int]):
    """A position as JSON; `at` is the offset that it stands for: not between the characters of a CRLF."""

    @classmethod
    def of(cls, text: str, offset: int, encoding: str) -> Position:
        if text[offset - 1 : offset + 1] == "\r\n" and offset:
            offset -= 1  # no position lies in the middle of a line end
        before = text[:offset].replace("\r\n", "\n").replace("\r", "\n")
        column = before[before.rfind("\n") + 1 :]
        unit = {"utf-8": 1, "utf-16": 2, "utf-32": 4}[encoding]
        units = len(column.encode(f"{encoding}-le" if unit > 1 else encoding)) // unit
        return cls(line=before.count("\n"), character=units, at=offset)
