"""What the user is told when something fails: one sentence, once, and again when it comes back; and never a key."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support import mistral_wire as wire
from support.api_server import Answer, Reply, Request, ScriptedApi
from support.lsp_client import LspClient, StartServer, insertion
from support.proxy_server import ProxyServer

URI = "file:///messages.py"
KEY = "zq-DISTINCT-key-4711-0815"
NOWHERE = "http://127.0.0.1:9"


@pytest.fixture
def api() -> Iterator[ScriptedApi]:
    with ScriptedApi(key=KEY) as api:
        yield api


def opened(client: LspClient, **options: object) -> LspClient:
    client.initialize(**options)  # type: ignore[arg-type]
    client.open(URI, "    \n")
    return client


def ask_anew(client: LspClient, kind: int = 1) -> list[str]:
    """A completion at a place that nothing is known of; what it gives."""
    client.change(URI, insertion(0, 0, "z"))
    return [item["insertText"] for item in client.complete(URI, 0, 4, kind)]


def said_back(status: int) -> Callable[[Request], Reply]:
    """A host that quotes the key in its refusal."""

    def refuse(request: Request) -> Reply:
        sent = request.headers["authorization"]
        return wire.failure(status, wire.error_object(f"no: {sent} and {sent.split()[1]}", "x", None, status))

    return refuse


SAYS: dict[str, tuple[object, dict[str, str], list[str]]] = {
    "500": (wire.SERVER_ERROR, {}, ["has trouble (500", "resume by themselves"]),
    "overloaded": (wire.OVERLOADED, {}, ["is full at the moment", "resume by themselves"]),
    "rate limit": (
        wire.failure(429, wire.error_object("Rate limit exceeded", "rate_limited", "1300", 429), retry_after="30"),
        {},
        ["rate limit", "rest for 30 s"],
    ),
    "no plan": (wire.NOT_IN_PLAN, {}, ["plan"]),
    "html 520": (wire.HTML_PAGE, {}, ["127.0.0.1"]),
    "html 200": (
        wire.Failure(200, b"<!DOCTYPE html><title>Log in</title>", content_type="text/html"),
        {},
        ["instead of JSON", "check base_url"],
    ),
    "not json": (wire.Failure(200, b"{oops"), {}, ["not JSON"]),
    "silent": (Answer("x", first_after=60), {"CODESTRAL_LS_TIMEOUT_MS": "300"}, ["raise timeout_ms"]),
    "unreachable": (Answer(""), {"CODESTRAL_LS_BASE_URL": NOWHERE}, ["cannot be reached", "check the network"]),
    "model": (Answer(""), {"CODESTRAL_LS_FIM_MODEL": "mistral-small-latest"}, ["fim_model", "codestral-latest"]),
    "wrong key": (said_back(401), {}, ["refuses the API key", "MISTRAL_API_KEY"]),
    "wrong key, said back": (said_back(403), {}, ["403"]),
    "refused, said back": (said_back(422), {}, ["422"]),
}


@pytest.mark.parametrize("case", SAYS)
def test_a_failure_is_said_once_and_its_completions_are_empty_lists(
    start: StartServer, api: ScriptedApi, case: str, tmp_path: Path
) -> None:
    api.script, variables, words = SAYS[case]  # type: ignore[assignment]
    log, trace = tmp_path / "server.log", tmp_path / "trace.jsonl"
    arguments = ("serve", "--log-level", "debug", "--log-file", str(log), "--trace-file", str(trace))
    client = opened(start(variables, arguments=arguments), trace="verbose")
    # Typing first, which rests after a failure; a gesture does not, but tries a transient failure again.
    for kind in (2, 2, 1, 2):
        assert ask_anew(client, kind) == []
    client.settle()
    (message,) = client.messages
    for word in words:
        assert word in message
    assert message.startswith("Codestral: ")
    assert "\n" not in message
    client.assert_quiet()
    assert client.stderr == ""
    assert client.shut_down() == 0
    assert "Traceback" not in log.read_text()
    assert "initialize" in trace.read_text()
    assert_nowhere(KEY, client, tmp_path)


def assert_nowhere(key: str, client: LspClient, folder: Path) -> None:
    """The key is in no file under the folder, in no message and not on stderr."""
    for path in folder.rglob("*"):
        if path.is_file():
            assert key not in path.read_text("utf-8", "replace"), path
    assert key not in client.stderr
    assert key not in json.dumps(client.notifications)


def test_a_failure_is_said_again_after_it_was_over(start: StartServer, api: ScriptedApi) -> None:
    client = opened(start())
    for expected, script in ((1, wire.NOT_IN_PLAN), (1, Answer("fine")), (2, wire.NOT_IN_PLAN), (2, wire.NOT_IN_PLAN)):
        api.script = script
        assert ask_anew(client) == (["fine"] if isinstance(script, Answer) else [])
        client.settle()
        assert len(client.messages) == expected


def test_different_failures_are_different_messages(start: StartServer, api: ScriptedApi) -> None:
    client = opened(start())
    for script in (wire.NOT_IN_PLAN, wire.NOT_FOUND, wire.NOT_IN_PLAN, wire.NOT_FOUND):
        api.script = script
        assert ask_anew(client) == []
    client.settle()
    assert len(client.messages) == 2


def test_a_proxy_that_refuses_is_named(start: StartServer, tmp_path: Path) -> None:
    with ProxyServer(status="403 Forbidden") as proxy:
        variables = {
            "CODESTRAL_LS_BASE_URL": "https://mistral.invalid",
            "CODESTRAL_LS_PROXY": proxy.url(userinfo="user:proxy-password"),
        }
        client = opened(start(variables))
        assert ask_anew(client) == ask_anew(client) == []
        client.settle()
        (message,) = client.messages
        assert "proxy" in message
        assert "mistral.invalid" in message
        client.assert_quiet()
        assert_nowhere("proxy-password", client, tmp_path)


def test_no_key_at_all_is_said_with_where_to_put_one(start: StartServer) -> None:
    client = opened(start({"MISTRAL_API_KEY": None, "CODESTRAL_LS_BASE_URL": None}))
    assert ask_anew(client) == ask_anew(client, kind=2) == []
    client.settle()
    (message,) = client.messages
    assert "MISTRAL_API_KEY" in message


def test_a_source_of_keys_that_fails_is_named(start: StartServer) -> None:
    variables = {
        "MISTRAL_API_KEY": None,
        "CODESTRAL_LS_BASE_URL": None,
        "CODESTRAL_LS_API_KEY_COMMAND": '["false", "a-secret-argument"]',
    }
    client = opened(start(variables))
    assert ask_anew(client) == ask_anew(client) == []
    client.settle()
    (message,) = client.messages
    assert "api_key_command" in message
    assert "a-secret-argument" not in message


def test_an_answer_of_a_megabyte_is_cut_to_its_shape(start: StartServer, api: ScriptedApi) -> None:
    api.script = Answer("value = [" + "1, " * 350_000 + "]\n", piece=50_000)
    client = opened(start({"CODESTRAL_LS_MAX_TOKENS": "32768"}))
    client.complete(URI, 0, 4)
    api.script = wire.Failure(200, json.dumps(wire.answer_body("m", "", "x" * 5_000_000, "stop")).encode())
    assert ask_anew(client) == []
    client.settle()
    (message,) = client.messages
    assert "4 MB" in message
    client.assert_quiet()


def test_an_answer_without_end_ends(start: StartServer, api: ScriptedApi) -> None:
    api.script = Answer("aaaa", endless=True, piece=4, pace=0.001)
    client = opened(start({"CODESTRAL_LS_TIMEOUT_MS": "1000"}))
    client.complete(URI, 0, 4)  # whatever it gives, it gives it
    assert api.completions[-1].hung_up.wait(20)
    client.settle()
    client.assert_quiet()


def test_a_key_in_the_editors_settings_or_an_open_file_is_in_no_trace(
    start: StartServer, api: ScriptedApi, tmp_path: Path
) -> None:
    trace = tmp_path / "trace.jsonl"
    arguments = ("serve", "--log-level", "debug", "--trace-file", str(trace))
    client = start({"MISTRAL_API_KEY": "a-key-in-the-environment"}, arguments=arguments)
    client.answers["workspace/configuration"] = [{"apiKey": KEY, "proxy": "http://user:proxy-password@127.0.0.1:9"}]
    options = {"codestral": {"apiKey": "an-older-key", "api_key_command": ["pass", "path-to-secret"]}}
    client.initialize({"workspace": {"configuration": True}}, options=options)
    client.wait_for(lambda: client.requests, "the pull")
    client.notify("workspace/didChangeConfiguration", {"settings": {"codestral": {"apiKey": "a-newer-key"}}})
    client.open("file:///.env", "MISTRAL_API_KEY='a-key-in-a-file'\nCODESTRAL_API_KEY=an-unquoted-key\n", "dotenv")
    client.open("file:///config.toml", 'api_key = "a-key-in-toml"\n# a-key-in-the-environment\n', "toml")
    client.open(URI, "def api_key(self): return self.api_key == other\n")
    client.settle()
    assert client.shut_down() == 0
    text = trace.read_text()
    assert "a-key-in" not in text
    for secret in (KEY, "an-older-key", "a-newer-key", "path-to-secret", "proxy-password", "an-unquoted-key"):
        assert secret not in text
    assert "def api_key(self): return self.api_key == other" in text
    for line in text.splitlines():
        assert json.loads(line).keys() == {"t", "way", "msg"}


def test_a_file_of_fifty_megabytes_opens_and_completes(start: StartServer, api: ScriptedApi) -> None:
    api.script = Answer("fifty()")
    client = start()
    client.initialize()
    line = "value = 'some text that makes the file long enough to be of interest'\n"
    count = 50_000_000 // len(line)
    client.open(URI, line * count)
    client.change(URI, insertion(count // 2, 0, "x = \n"))
    assert [item["insertText"] for item in client.complete(URI, count // 2, 4)] == ["fifty()"]
    assert api.completions[-1].prompt.endswith(line + "x = ")
    assert len(api.completions[-1].prompt) <= 12_000
    client.assert_quiet()
