"""Settings as editors send them: at the start, pulled, pushed, changed while running; files and keys beside them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from support import mistral_wire as wire
from support.api_server import Answer, ScriptedApi
from support.lsp_client import INLINE, LspClient, RpcError, Silence, StartServer, insertion, write_config

URI = "file:///settings.py"
PULLS: dict[str, Any] = {**INLINE, "workspace": {"configuration": True}}
PULL = "workspace/configuration"


def model_asked(client: LspClient, api: ScriptedApi) -> str | None:
    """The model of the request that a completion at a new place makes; None if it makes none."""
    asked = len(api.completions)
    client.change(URI, insertion(0, 0, "z"))
    client.complete(URI, 0, 5)
    after = api.completions[asked:]
    return str(after[-1].body["model"]) if after else None


def ready(client: LspClient) -> LspClient:
    client.open(URI, "    \n    \n")
    client.settle()
    return client


@pytest.mark.parametrize("options", [None, [], {"codestral": []}, {"codestral": None}])
def test_no_options_are_no_problem(start: StartServer, api: ScriptedApi, options: object) -> None:
    client = start()
    client.initialize(options=options)
    assert model_asked(ready(client), api) == "codestral-latest"
    assert client.messages == []
    assert client.stderr == ""


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("text", ["editor settings", "table"]),
        ([1], ["editor settings", "table"]),
        (7, ["editor settings", "table"]),
        ({"temperature": "hot"}, ["temperature", "editor settings", "number"]),
        ({"enabled": "yes"}, ["enabled", "editor settings", "true or false"]),
        ({"fimModell": "x"}, ["fimModell", "fim_model"]),
    ],
)
def test_wrong_options_are_one_message_and_the_rest_applies(
    start: StartServer, api: ScriptedApi, options: object, words: list[str]
) -> None:
    client = start()
    client.initialize(options=options)
    assert model_asked(ready(client), api) == "codestral-latest"
    client.wait_for(lambda: client.messages, "a message")
    (message,) = client.messages
    for word in words:
        assert word in message
    client.assert_quiet()


@pytest.mark.parametrize(
    "options",
    [
        {"fimModel": "codestral-2508"},
        {"fim_model": "codestral-2508"},
        {"fimModel": "codestral-2508", "temperature": "hot"},
    ],
)
def test_options_apply_in_both_spellings(start: StartServer, api: ScriptedApi, options: object) -> None:
    client = start()
    client.initialize(options=options)
    assert model_asked(ready(client), api) == "codestral-2508"


def test_settings_are_pulled_and_go_over_the_options(start: StartServer, api: ScriptedApi) -> None:
    client = start()
    client.answers[PULL] = [{"fimModel": "codestral-2508"}]
    client.initialize(PULLS, options={"fim_model": "mistral-code-latest", "max_tokens": 99})
    client.wait_for(lambda: client.requests, "the pull")
    assert client.requests[0] == (PULL, {"items": [{"section": "codestral"}]})
    assert model_asked(ready(client), api) == "codestral-2508"
    assert api.completions[-1].body["max_tokens"] == 99


@pytest.mark.parametrize("first", [None, RpcError(-32601), Silence], ids=["null", "refused", "silence"])
def test_a_pull_that_brings_nothing_leaves_the_options(start: StartServer, api: ScriptedApi, first: object) -> None:
    client = start()
    client.answers[PULL] = first
    client.initialize(PULLS, options={"fimModel": "codestral-2508"})
    client.wait_for(lambda: client.requests, "the pull")
    assert model_asked(ready(client), api) == "codestral-2508"
    for answer in ([], [None], [{}], [[]], ["x"], [7], {}, "x", {"fimModel": "x"}, 7, RpcError(-32603, "broken")):
        client.answers[PULL] = answer
        pulls = len(client.requests)
        client.notify("workspace/didChangeConfiguration", {"settings": {"fimModel": "x"}})
        client.wait_for(lambda pulls=pulls: len(client.requests) > pulls, "another pull")
        assert model_asked(client, api) == "codestral-2508", answer
    assert client.messages == []
    client.assert_quiet()


def test_a_pushed_change_counts_from_the_next_request_on(start: StartServer, api: ScriptedApi) -> None:
    client = start()
    client.initialize()
    ready(client)

    def push(settings: object) -> None:
        client.notify("workspace/didChangeConfiguration", {"settings": settings})

    push({"codestral": {"fimModel": "codestral-2508"}})
    assert model_asked(client, api) == "codestral-2508"
    push({"fim_model": "mistral-code-latest"})
    assert model_asked(client, api) == "mistral-code-latest"
    push({"otherServer": {"x": 1}, "files": {}})
    push(None)
    push([])
    push("x")
    for off in ({"enabled": False}, {"trigger": "manual"}, {"languages": {"python": {"enabled": False}}}):
        push({"codestral": off})
        client.change(URI, insertion(0, 0, "y"))
        asked = len(api.completions)
        assert client.complete(URI, 1, 4, kind=2) == []
        assert len(api.completions) == asked
    client.assert_quiet()


def test_what_is_taken_out_of_the_settings_does_not_stay(start: StartServer, api: ScriptedApi) -> None:
    client = start()
    client.initialize(options={"maxTokens": 77})
    ready(client)
    client.notify("workspace/didChangeConfiguration", {"settings": {"codestral": {"fimModel": "codestral-2508"}}})
    assert model_asked(client, api) == "codestral-2508"
    client.notify("workspace/didChangeConfiguration", {"settings": {"codestral": {}}})
    assert model_asked(client, api) == "codestral-latest"
    assert api.completions[-1].body["max_tokens"] == 77


def test_a_pulled_change_counts_too(start: StartServer, api: ScriptedApi) -> None:
    client = start()
    client.answers[PULL] = [None]
    client.initialize(PULLS)
    client.wait_for(lambda: client.requests, "the first pull")
    assert model_asked(ready(client), api) == "codestral-latest"
    for model in ("codestral-2508", "mistral-code-latest"):
        client.answers[PULL] = [{"fimModel": model}]
        pulls = len(client.requests)
        client.notify("workspace/didChangeConfiguration", {"settings": None})
        client.wait_for(lambda pulls=pulls: len(client.requests) > pulls, "another pull")
        assert model_asked(client, api) == model
    client.answers[PULL] = [None]
    client.notify("workspace/didChangeConfiguration", {"settings": None})
    client.wait_for(lambda: len(client.requests) == 4, "another pull")
    assert model_asked(client, api) == "codestral-latest"


def test_the_client_is_asked_to_tell_of_changes_if_it_can(start: StartServer) -> None:
    client = start()
    client.answers["client/registerCapability"] = None
    client.initialize({**INLINE, "workspace": {"didChangeConfiguration": {"dynamicRegistration": True}}})
    client.wait_for(lambda: client.requests, "a registration")
    method, params = client.requests[0]
    assert method == "client/registerCapability"
    assert params["registrations"][0]["method"] == "workspace/didChangeConfiguration"


def push(client: LspClient, settings: dict[str, object]) -> None:
    client.notify("workspace/didChangeConfiguration", {"settings": {"codestral": settings}})


def test_another_connection_answers_a_request_that_waits(start: StartServer, api: ScriptedApi) -> None:
    client = start({"CODESTRAL_LS_DEBOUNCE_MS": "400"})
    client.initialize()
    ready(client)
    waiting = client.request_inline(URI, 1, 4, kind=2)
    push(client, {"proxy": "none"})
    assert isinstance(waiting.result()["items"], list)
    client.settle()
    assert client.messages == []
    client.assert_quiet()


def test_another_connection_answers_a_request_under_way(start: StartServer, api: ScriptedApi) -> None:
    api.script = Answer("1", first_after=60)
    client = start()
    client.initialize()
    ready(client)
    running = client.request_inline(URI, 1, 4)
    client.wait_for(lambda: api.completions, "the request at the API")
    push(client, {"proxy": "none"})
    assert running.result() == {"items": []}
    client.settle()
    assert client.messages == []
    client.assert_quiet()


@pytest.mark.parametrize(
    "settings",
    [
        {"fimModel": "codestral-2508"},
        {"maxTokens": 99},
        {"logLevel": "error"},
        {"languages": {"go": {"enabled": False}}},
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_other_settings_leave_a_request_under_way(
    start: StartServer, api: ScriptedApi, settings: dict[str, object]
) -> None:
    api.script = Answer("1", first_after=0.4)
    client = start()
    client.initialize()
    ready(client)
    running = client.request_inline(URI, 1, 4)
    client.wait_for(lambda: api.completions, "the request at the API")
    push(client, settings)
    assert [item["insertText"] for item in running.result()["items"]] == ["1"]


def test_other_settings_leave_what_is_known(start: StartServer, api: ScriptedApi) -> None:
    api.script = Answer("1")
    client = start()
    client.initialize()
    ready(client)
    assert client.complete(URI, 1, 4)
    push(client, {"timeoutMs": 5000})
    assert client.complete(URI, 1, 4)
    assert len(api.completions) == 1


def test_a_changed_setting_ends_the_rest_after_a_failure(start: StartServer, api: ScriptedApi) -> None:
    api.script = wire.failure(429, wire.error_object("x", "rate_limited", "1300", 429), retry_after="600")
    client = start()
    client.initialize()
    ready(client)
    assert client.complete(URI, 1, 4) == []
    client.settle()
    api.script = Answer("1")
    assert client.complete(URI, 1, 4, kind=2) == []
    push(client, {"fimModel": "codestral-2508"})
    assert client.complete(URI, 1, 4, kind=2)


def test_an_address_that_becomes_unusable_is_not_replaced_by_the_built_in_one(
    start: StartServer, api: ScriptedApi
) -> None:
    client = start({"CODESTRAL_LS_BASE_URL": None, "HTTPS_PROXY": "http://127.0.0.1:9"})
    client.initialize()
    ready(client)
    client.open("file:///.env", "A=\n", "dotenv")
    assert client.complete("file:///.env", 0, 2) == []  # makes the connection, and sends nothing
    push(client, {"baseUrl": "ftp://own.example"})
    assert client.complete(URI, 1, 4) == []
    client.wait_for(lambda: any("Nothing is sent" in message for message in client.messages), "a message")


@pytest.mark.parametrize("url", [None, "sandbox:"])
def test_the_http_client_is_never_imported_where_it_would_hold_up_messages(
    start: StartServer, tmp_path: Path, url: str | None
) -> None:
    (tmp_path / "sitecustomize.py").write_text(IMPORT_WATCH)
    paths = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")]))
    client = start({"PYTHONPATH": paths, **({"CODESTRAL_LS_BASE_URL": url} if url else {})})
    client.initialize()
    client.wait_for(lambda: "httpx is imported" in client.stderr, "the import")
    assert "httpx is imported outside the main thread" in client.stderr


IMPORT_WATCH = """
import sys, threading

class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == "httpx":
            here = "in" if threading.current_thread() is threading.main_thread() else "outside"
            print(f"httpx is imported {here} the main thread", file=sys.stderr, flush=True)

sys.meta_path.insert(0, Watch())
"""


def test_a_problem_that_stays_is_said_once_and_again_when_it_comes_back(start: StartServer) -> None:
    client = start()
    client.initialize()
    for settings in ({"temperature": "hot"}, {"temperature": "hot", "maxTokens": 9}, {"maxTokens": 9}):
        client.notify("workspace/didChangeConfiguration", {"settings": {"codestral": settings}})
        client.settle()
    assert len(client.messages) == 1
    client.notify("workspace/didChangeConfiguration", {"settings": {"codestral": {"temperature": "hot"}}})
    client.wait_for(lambda: len(client.messages) == 2, "the message again")


def test_a_repository_may_not_choose_the_host(start: StartServer, api: ScriptedApi, tmp_path: Path) -> None:
    root = tmp_path / "repository"
    root.mkdir()
    (root / ".codestral.toml").write_text('base_url = "http://127.0.0.1:9"\nmax_tokens = 55\n')
    client = start()
    client.initialize(root=root)
    assert model_asked(ready(client), api) == "codestral-latest"
    assert api.completions[-1].body["max_tokens"] == 55
    client.wait_for(lambda: client.messages, "a message")
    (message,) = client.messages
    assert "base_url" in message
    assert "repository may not" in message


def test_a_file_with_a_syntax_error_is_said_with_line_and_column(
    start: StartServer, api: ScriptedApi, tmp_path: Path
) -> None:
    path = write_config(tmp_path, 'max_tokens = 55\nfim_model = "codestral\n')
    client = start()
    client.initialize()
    assert model_asked(ready(client), api) == "codestral-latest"
    client.wait_for(lambda: client.messages, "a message")
    (message,) = client.messages
    assert str(path) in message
    assert "line 2" in message
    assert "column 23" in message


def test_the_key_of_an_env_file_is_used(start: StartServer, api: ScriptedApi, tmp_path: Path) -> None:
    root = tmp_path / "repository"
    root.mkdir()
    (root / ".env").write_text(f"MISTRAL_API_KEY='{api.key}'\nCODESTRAL_LS_BASE_URL=http://127.0.0.1:9\n")
    client = start({"MISTRAL_API_KEY": None})
    client.initialize(root=root)
    assert model_asked(ready(client), api) == "codestral-latest"
    assert api.completions[-1].headers["authorization"] == f"Bearer {api.key}"


def test_a_rotated_key_works_without_a_restart(start: StartServer, api: ScriptedApi, tmp_path: Path) -> None:
    api.script = Answer("1")
    root = tmp_path / "repository"
    root.mkdir()
    (root / ".env").write_text("MISTRAL_API_KEY=the-old-key-0000\n")
    client = start({"MISTRAL_API_KEY": None})
    client.initialize(root=root)
    ready(client)
    api.key = "the-old-key-0000"
    assert client.complete(URI, 0, 4)
    api.key = "the-new-key-1111"
    (root / ".env").write_text("MISTRAL_API_KEY=the-new-key-1111\n")

    def works() -> bool:
        client.change(URI, insertion(0, 0, "z"))
        return bool(client.complete(URI, 0, 5))

    # Keys are looked for again every five seconds at most: the first key was read just now.
    client.wait_for(works, "a completion with the new key")
    assert len(client.messages) <= 1


def test_a_folder_that_is_added_is_one_whose_secrets_stay(start: StartServer, api: ScriptedApi, tmp_path: Path) -> None:
    client = start({"CODESTRAL_LS_EXCLUDE": '["private/**"]'})
    client.initialize(workspaceFolders=None)
    client.notify(
        "workspace/didChangeWorkspaceFolders",
        {"event": {"added": [{"uri": tmp_path.as_uri(), "name": "t"}], "removed": []}},
    )
    secret = (tmp_path / "private" / "a.py").as_uri()
    client.open(secret, "x = \n")
    assert client.complete(secret, 0, 4) == []
    client.notify(
        "workspace/didChangeWorkspaceFolders",
        {"event": {"added": [], "removed": [{"uri": tmp_path.as_uri(), "name": "t"}, {"uri": "x:", "name": ""}]}},
    )
    client.settle()
    client.assert_quiet()


def test_the_first_folder_brings_its_settings_and_its_key_also_when_it_comes_later(
    start: StartServer, api: ScriptedApi, tmp_path: Path
) -> None:
    root = tmp_path / "late"
    root.mkdir()
    (root / ".env").write_text(f"MISTRAL_API_KEY={api.key}\n")
    (root / ".codestral.toml").write_text("max_tokens = 55\n")
    folder = {"uri": root.as_uri(), "name": "late"}
    client = start({"MISTRAL_API_KEY": None})
    client.initialize()
    assert model_asked(ready(client), api) == "codestral-latest"
    assert "authorization" not in api.completions[-1].headers
    client.notify("workspace/didChangeWorkspaceFolders", {"event": {"added": [folder], "removed": []}})
    assert model_asked(client, api) == "codestral-latest"
    assert api.completions[-1].headers["authorization"] == f"Bearer {api.key}"
    assert api.completions[-1].body["max_tokens"] == 55
    client.notify("workspace/didChangeWorkspaceFolders", {"event": {"added": [], "removed": [folder]}})
    model_asked(client, api)
    assert "authorization" not in api.completions[-1].headers
    client.assert_quiet()
