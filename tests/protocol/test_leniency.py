"""Slips of editors that must not cost the user the document: missing versions, null ranges, numbers out of range."""

from __future__ import annotations

from typing import Any

import pytest
from support.api_server import Answer, ScriptedApi
from support.lsp_client import LspClient, StartServer, inline_params

URI = "file:///lenient.py"
MISSING = ...
NOT_A_VERSION = [None, MISSING, "2", 1.5, True, 2**31, -(2**40), {}]


@pytest.fixture
def client(start: StartServer, api: ScriptedApi) -> LspClient:
    api.script = Answer("done()")
    client = start({"CODESTRAL_LS_DEBOUNCE_MS": "0"})
    client.initialize()
    return client


def identified(version: object, **fields: object) -> dict[str, object]:
    return {"uri": URI, **fields} if version is MISSING else {"uri": URI, "version": version, **fields}


def send_open(client: LspClient, text: str, version: object) -> None:
    document = identified(version, languageId="python", text=text)
    client.notify("textDocument/didOpen", {"textDocument": document})


def send_change(client: LspClient, version: object, *changes: object) -> None:
    params = {"textDocument": identified(version), "contentChanges": list(changes)}
    client.notify("textDocument/didChange", params)


def text_asked(client: LspClient, api: ScriptedApi) -> str:
    """The document as the API gets it."""
    asked = len(api.completions)
    client.complete(URI, 0, 4)
    (request,) = api.completions[asked:]
    return request.prompt + request.suffix


@pytest.mark.parametrize("version", NOT_A_VERSION, ids=repr)
def test_a_document_opens_and_changes_without_versions(client: LspClient, api: ScriptedApi, version: object) -> None:
    send_open(client, "x = \n", version)
    assert text_asked(client, api) == "x = \n"
    send_change(client, version, {"text": "y = 1\n"})
    assert text_asked(client, api) == "y = 1\n"
    assert client.stderr == ""


def test_an_answer_is_shortened_by_what_was_typed_also_without_versions(client: LspClient, api: ScriptedApi) -> None:
    api.script = Answer("compute(a, b)", first_after=0.4)
    send_open(client, "x =\n", None)
    send_change(client, None, {"range": between(0, 3, 0, 3), "text": " "})
    pending = client.request_inline(URI, 0, 4)
    client.wait_for(lambda: api.completions, "the request at the API")
    send_change(client, None, {"range": between(0, 4, 0, 4), "text": "com"})
    assert [item["insertText"] for item in pending.result()["items"]] == ["pute(a, b)"]


def test_a_null_range_is_the_whole_text(client: LspClient, api: ScriptedApi) -> None:
    client.open(URI, "x = \n")
    client.change(URI, {"range": None, "rangeLength": None, "text": "y = 2\n"})
    assert text_asked(client, api) == "y = 2\n"


def between(*numbers: float) -> dict[str, object]:
    first, second, third, fourth = numbers
    return {"start": {"line": first, "character": second}, "end": {"line": third, "character": fourth}}


@pytest.mark.parametrize(
    ("edited", "text"),
    [
        (between(0, 4, 0, 2**32), "x = 7\ny\n"),
        (between(0, 4, 2**32, 0), "x = 7"),
        (between(0, 4, 0, 2**31), "x = 7\ny\n"),
        (between(0, -1, 0, 4), "7old\ny\n"),
        (between(-5, 0, 0, 4), "7old\ny\n"),
        (between(0, 4, 0, 1e300), "x = 7\ny\n"),
    ],
)
def test_places_beyond_the_protocol_are_clamped(
    client: LspClient, api: ScriptedApi, edited: dict[str, object], text: str
) -> None:
    client.open(URI, "x = old\ny\n")
    client.change(URI, {"range": edited, "rangeLength": -1, "text": "7"})
    assert text_asked(client, api) == text
    assert client.stderr == ""


@pytest.mark.parametrize(
    "change",
    [
        7,
        {},
        {"text": None},
        {"text": 7},
        {"range": {}, "text": "y"},
        {"range": [], "text": "y"},
        {"range": 1, "text": "y"},
    ],
    ids=repr,
)
def test_a_change_that_cannot_be_read_closes_the_document(client: LspClient, api: ScriptedApi, change: object) -> None:
    client.open(URI, "x = \n")
    send_change(client, 2, change)
    assert client.complete(URI, 0, 4) == []
    assert api.completions == []
    assert f"{URI}: its text is not known any more" in client.stderr
    assert "Traceback" not in client.stderr
    client.open(URI, "z = \n")
    assert text_asked(client, api) == "z = \n"


def test_a_document_without_text_is_not_open(client: LspClient, api: ScriptedApi) -> None:
    client.open(URI, "x = \n")
    for text in (None, 7):
        client.open(URI, text)  # type: ignore[arg-type]
        assert client.complete(URI, 0, 4) == []
    assert api.completions == []
    assert "Traceback" not in client.stderr


def test_a_change_of_no_document_closes_none(client: LspClient, api: ScriptedApi) -> None:
    client.open(URI, "x = \n")
    for params in ({"textDocument": 7}, {"textDocument": {"uri": 7}}, {"contentChanges": 7}, 7):
        client.notify("textDocument/didChange", params)
    assert text_asked(client, api) == "x = \n"
    assert "Traceback" not in client.stderr


@pytest.mark.parametrize(
    ("line", "character", "prompt"),
    [
        (-1, 4, "x = "),
        (0, -1, ""),
        (0, 2**31, "x = "),
        (2**40, 0, "x = \ny = "),
        (1, 2**64, "x = \ny = "),
        (1, 1e300, "x = \ny = "),
    ],
)
def test_a_place_beyond_the_protocol_is_answered(
    client: LspClient, api: ScriptedApi, line: int, character: int, prompt: str
) -> None:
    client.open(URI, "x = \ny = ")
    assert isinstance(client.complete(URI, line, character), list)
    assert api.completions[-1].prompt == prompt


@pytest.mark.parametrize(
    "selected",
    [7, "x", [], {}, {"text": "x"}, {"range": None, "text": None}, {"range": between(-1, 0, 0, 2**40), "text": "x"}],
    ids=repr,
)
def test_what_is_selected_in_the_menu_may_have_any_form(client: LspClient, selected: object) -> None:
    client.open(URI, "x = \n")
    params = inline_params(URI, 0, 4)
    params["context"]["selectedCompletionInfo"] = selected
    assert client.ask("textDocument/inlineCompletion", params)["items"]


@pytest.mark.parametrize(
    "fields",
    [
        {"position": {"line": 0, "character": 2**32}},
        {"position": {"line": -1, "character": 4}},
        {"context": None},
        {"context": []},
        {"context": {}},
        {"context": {"triggerKind": 9}},
        {"context": {"triggerKind": [1]}},
        {"context": {"triggerKind": 1, "triggerCharacter": 7, "selectedCompletionInfo": 7}},
    ],
    ids=repr,
)
def test_a_menu_is_asked_for_in_any_form(start: StartServer, api: ScriptedApi, fields: dict[str, Any]) -> None:
    api.script = Answer("done()")
    client = start()
    client.initialize({}, name="helix")
    client.open(URI, "x = \n")
    params = {"textDocument": {"uri": URI}, "position": {"line": 0, "character": 4}, **fields}
    assert [item["label"] for item in client.ask("textDocument/completion", params)["items"]] == ["done()"]
