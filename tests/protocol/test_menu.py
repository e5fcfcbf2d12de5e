"""textDocument/completion for the editors without inline completion, each in the form that it takes."""

from __future__ import annotations

from typing import Any

import pytest
from support.api_server import Answer, ScriptedApi
from support.lsp_client import LspClient, StartServer

URI = "file:///menu.py"
UTF8 = {"general": {"positionEncodings": ["utf-8"]}}
UTF32 = {"general": {"positionEncodings": ["utf-32"]}}
PLAIN, SNIPPET = 1, 2


def ask(client: LspClient, line: int, character: int, kind: int = 1) -> dict[str, Any]:
    position = {"line": line, "character": character}
    result = client.ask(
        "textDocument/completion",
        {"textDocument": {"uri": URI}, "position": position, "context": {"triggerKind": kind}},
    )
    assert isinstance(result, dict)
    return result


def item_in(client: LspClient, line: int, character: int) -> dict[str, Any]:
    result = ask(client, line, character)
    assert result["isIncomplete"] is True
    (item,) = result["items"]
    return item


@pytest.mark.parametrize(
    ("name", "capabilities", "new_text", "form"),
    [
        ("helix", UTF8, "if x:\n    return f'{x} $1'\nreturn None", PLAIN),
        ("Neovim", UTF8, "if x:\n    return f'{x\\} \\$1'\nreturn None", SNIPPET),
        ("Eglot", UTF32, "if x:\n        return f'{x} $1'\n    return None", PLAIN),
        ("an editor", {}, "if x:\n        return f'{x} $1'\n    return None", PLAIN),
    ],
)
def test_a_suggestion_of_several_lines_in_the_form_of_the_editor(
    start: StartServer, api: ScriptedApi, name: str, capabilities: dict[str, Any], new_text: str, form: int
) -> None:
    api.script = Answer("if x:\n        return f'{x} $1'\n    return None")
    client = start()
    client.initialize(capabilities, name=name)
    client.open(URI, "def f(x):\n    \n")
    item = item_in(client, 1, 4)
    assert item["textEdit"]["newText"] == new_text
    assert item.get("insertTextFormat", PLAIN) == form
    assert item["label"] == "if x:"
    at = {"line": 1, "character": 4}
    assert item["textEdit"]["range"] == {"start": at, "end": at}
    assert (api.completions[-1].prompt, api.completions[-1].suffix) == ("def f(x):\n    ", "\n")


@pytest.mark.parametrize(
    ("name", "capabilities", "start_column", "end_column"),
    [("helix", UTF8, 9, 13), ("Eglot", UTF32, 6, 9), ("an editor", {}, 7, 10)],
    ids=["utf-8", "utf-32", "utf-16"],
)
def test_the_item_begins_with_the_typed_word_and_replaces_it(
    start: StartServer,
    api: ScriptedApi,
    name: str,
    capabilities: dict[str, Any],
    start_column: int,
    end_column: int,
) -> None:
    api.script = Answer("ter(x)")
    client = start()
    client.initialize(capabilities, name=name)
    client.open(URI, "'\U0001f600' + h\u00e4l\n")
    item = item_in(client, 0, end_column)
    assert item["filterText"] == item["textEdit"]["newText"] == "h\u00e4lter(x)"
    assert item["textEdit"]["range"] == {
        "start": {"line": 0, "character": start_column},
        "end": {"line": 0, "character": end_column},
    }


@pytest.mark.parametrize(("name", "new_text"), [("Neovim", "a\nb"), ("helix", "a\r\nb")])
def test_line_ends_are_those_that_the_editor_takes(
    start: StartServer, api: ScriptedApi, name: str, new_text: str
) -> None:
    api.script = Answer("a\n    b")
    client = start()
    client.initialize(UTF8, name=name)
    client.open(URI, "def f(x):\r\n    \r\n")
    assert item_in(client, 1, 4)["textEdit"]["newText"] == new_text


def test_ghost_text_in_neovim_has_no_carriage_returns(start: StartServer, api: ScriptedApi) -> None:
    api.script = Answer("a\n    b")
    client = start()
    client.initialize(name="Neovim")
    client.open(URI, "def f(x):\r\n    \r\n")
    assert [item["insertText"] for item in client.complete(URI, 1, 4)] == ["a\n    b"]


def test_one_line_is_never_a_snippet(start: StartServer, api: ScriptedApi) -> None:
    api.script = Answer("${x}")
    client = start()
    client.initialize(UTF8, name="Neovim")
    client.open(URI, "x = \n")
    item = item_in(client, 0, 4)
    assert item.get("insertTextFormat", PLAIN) == PLAIN
    assert item["textEdit"]["newText"] == "${x}"


def test_a_line_deep_to_the_right_is_dedented_by_its_own_indentation(start: StartServer, api: ScriptedApi) -> None:
    api.script = Answer("{\n      a: 1\n    }")
    client = start()
    client.initialize(UTF8, name="helix")
    line = "    const x = '" + " " * 600 + "' + ("
    client.open(URI, line + "\n", "javascript")
    item = item_in(client, 0, len(line))
    assert item["textEdit"]["newText"] == "{\n  a: 1\n}"


def test_documentation_holds_any_text(start: StartServer, api: ScriptedApi) -> None:
    api.script = Answer('"""\n    ```\n    code\n    ```\n    """')
    client = start()
    client.initialize(UTF8, name="helix")
    client.open(URI, "def f():\n    \n")
    documentation = item_in(client, 1, 4)["documentation"]["value"]
    assert documentation.startswith("````python\n")
    assert documentation.endswith("\n````")


def test_no_suggestion_is_an_incomplete_empty_list(start: StartServer, api: ScriptedApi) -> None:
    client = start()
    client.initialize({}, name="helix")
    assert ask(client, 0, 0) == {"isIncomplete": True, "items": []}
    client.open(URI, "x = \n")
    assert ask(client, 0, 4) == {"isIncomplete": True, "items": []}
    client.assert_quiet()


def test_opening_the_menu_is_no_gesture_of_its_own(start: StartServer, api: ScriptedApi) -> None:
    client = start()
    client.initialize({}, name="helix")
    client.open(URI, "foobar\n")
    assert ask(client, 0, 3)["items"] == []
    assert api.completions == []


@pytest.mark.parametrize(
    ("options", "kind", "answered"),
    [
        ({"trigger": "manual"}, 1, True),
        ({"languages": {"python": {"trigger": "manual"}}}, 1, True),
        ({"trigger": "manual"}, 2, False),
        ({"trigger": "manual"}, 3, False),
        ({"trigger": "manual", "enabled": False}, 1, False),
        ({"enabled": False}, 1, False),
    ],
)
def test_with_a_manual_trigger_the_key_for_the_menu_is_a_gesture(
    start: StartServer, api: ScriptedApi, options: dict[str, object], kind: int, answered: bool
) -> None:
    api.script = Answer("1")
    client = start()
    client.initialize({}, name="helix", options=options)
    client.open(URI, "x = \n")
    assert [item["label"] for item in ask(client, 0, 4, kind)["items"]] == (["1"] if answered else [])
    assert len(api.completions) == int(answered)


def test_the_older_request_for_a_menu_is_cancelled(start: StartServer, api: ScriptedApi) -> None:
    api.script = Answer("1", first_after=0.3)
    client = start()
    client.initialize({}, name="helix")
    client.open(URI, "x = \ny = \n")
    params = {"textDocument": {"uri": URI}, "position": {"line": 0, "character": 4}}
    older, newer = client.request("textDocument/completion", params), client.request("textDocument/completion", params)
    assert older.error().code == -32800
    assert newer.result()["items"]


def test_an_editor_with_inline_completion_has_no_menu(start: StartServer) -> None:
    client = start()
    client.initialize(name="helix")
    refused = client.request(
        "textDocument/completion", {"textDocument": {"uri": URI}, "position": {"line": 0, "character": 0}}
    )
    assert refused.error().code == -32601
