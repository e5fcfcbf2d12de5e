"""From the handshake to the end of the process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO

import pytest
from support.api_server import Answer, ScriptedApi
from support.lsp_client import (
    INLINE,
    LIMIT,
    SERVER,
    StartServer,
    frame,
    inline_params,
    notification,
    private_environment,
)

URI = "file:///life.py"


@pytest.mark.parametrize(
    ("capabilities", "menu"),
    [(INLINE, False), ({}, True), ({"textDocument": {"inlineCompletion": None}}, True)],
    ids=["declared", "not declared", "null"],
)
def test_the_inline_provider_is_announced_to_all_and_the_menu_to_those_without(
    start: StartServer, capabilities: dict[str, object], menu: bool
) -> None:
    result = start().initialize(capabilities)
    announced = result["capabilities"]
    assert announced["inlineCompletionProvider"] == {}
    assert ("completionProvider" in announced) is menu
    assert announced["executeCommandProvider"]["commands"] == ["codestral-ls.accepted"]
    assert (
        announced["textDocumentSync"] == {"openClose": True, "change": 2, "save": False} | announced["textDocumentSync"]
    )
    assert "codeActionProvider" not in announced
    assert result["serverInfo"]["name"] == "codestral-ls"


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        (["utf-32", "utf-8"], "utf-32"),
        (["utf-7", "utf-8", "utf-16"], "utf-8"),
        (None, "utf-16"),
    ],
)
def test_the_first_position_encoding_that_is_known_is_taken(
    start: StartServer, offered: list[str] | None, chosen: str
) -> None:
    general = {} if offered is None else {"general": {"positionEncodings": offered}}
    assert start().initialize({**INLINE, **general})["capabilities"]["positionEncoding"] == chosen


def test_nothing_is_answered_before_initialize_but_with_an_error(start: StartServer) -> None:
    client = start()
    early = client.request("textDocument/inlineCompletion", inline_params(URI, 0, 0))
    assert early.error().code == -32002
    client.notify("textDocument/didOpen", {"nonsense": 1})
    client.initialize()
    assert client.complete(URI, 0, 0) == []
    client.assert_quiet()


def test_a_second_initialize_is_refused(start: StartServer) -> None:
    client = start()
    client.initialize()
    again = client.request("initialize", {"processId": None, "rootUri": None, "capabilities": {}})
    assert again.error().code == -32600
    client.assert_quiet()


def test_after_an_initialize_that_could_not_be_read_another_one_is_taken(start: StartServer) -> None:
    client = start()
    assert client.request("initialize", "nonsense").error().code == -32602
    assert "capabilities" in client.initialize()


@pytest.mark.parametrize(
    "capabilities",
    [
        [],
        {"textDocument": []},
        {"textDocument": {"inlineCompletion": {}, "completion": {"completionItem": []}}, "window": []},
    ],
)
def test_lua_writes_an_empty_table_as_a_list(start: StartServer, capabilities: object) -> None:
    client = start()
    assert "capabilities" in client.initialize(capabilities)  # type: ignore[arg-type]
    client.assert_quiet()


def test_a_capability_that_cannot_be_read_does_not_keep_the_server_from_starting(start: StartServer) -> None:
    client = start()
    broken = {"textDocument": {"inlineCompletion": {}, "completion": 7}, "window": "yes"}
    result = client.initialize(broken, clientInfo={"version": "1"}, workspaceFolders="none")
    assert "completionProvider" not in result["capabilities"]
    client.assert_quiet()


def test_what_is_unknown_is_refused_or_ignored_and_never_shown(start: StartServer) -> None:
    client = start()
    client.initialize()
    assert client.request("textDocument/unheardOf", {"a": {"b": 1}}).error().code == -32601
    assert client.request("$/unheardOf").error().code == -32601
    bare, message = client.prepare("textDocument/unheardOf")
    del message["params"]
    client.send(message)
    assert bare.error().code == -32601
    assert client.request("workspace/executeCommand", {"command": "none.such"}).error().code == -32602
    client.notify("textDocument/unheardOf", {"type_name": "not a name", "x": []})
    client.notify("$/unheardOf", [1])
    client.send({"jsonrpc": "2.0", "method": "textDocument/unheardOf"})
    client.notify("$/cancelRequest", {"id": 12345})
    client.notify("$/cancelRequest", {"id": "twelve"})
    client.notify("$/progress", {"token": 1, "value": None})
    client.notify("window/workDoneProgress/cancel", {"token": "none"})
    client.settle()
    assert client.messages == []
    assert client.strays == []
    assert client.stderr == ""
    client.assert_quiet()


def test_an_accepted_suggestion_may_be_reported(start: StartServer) -> None:
    client = start()
    client.initialize()
    assert client.ask("workspace/executeCommand", {"command": "codestral-ls.accepted"}) is None
    assert client.ask("workspace/executeCommand", {"command": "codestral-ls.accepted", "arguments": [1, {}]}) is None
    client.assert_quiet()


def test_an_answer_that_nobody_waits_for_is_ignored(start: StartServer, api: ScriptedApi) -> None:
    api.script = Answer("1", first_after=0.3)
    client = start()
    client.initialize()
    client.open(URI, "x = ")
    pending = client.request_inline(URI, 0, 4)
    client.send(
        {"jsonrpc": "2.0", "id": "unknown", "result": None},
        {"jsonrpc": "2.0", "id": pending.id, "result": {"items": "forged"}},
        {"jsonrpc": "2.0", "id": pending.id, "error": {"code": 1, "message": "forged"}},
        {"jsonrpc": "2.0", "id": None, "result": None},
        {"jsonrpc": "2.0", "id": [], "result": None},
        {"jsonrpc": "2.0", "id": 77},
        {"jsonrpc": "2.0"},
    )
    assert [item["insertText"] for item in pending.result()["items"]] == ["1"]
    client.assert_quiet()


def test_shutdown_then_exit_is_a_good_end(start: StartServer) -> None:
    client = start()
    client.initialize()
    assert client.ask("shutdown") is None
    assert client.request("textDocument/inlineCompletion", inline_params(URI, 0, 0)).error().code == -32600
    assert client.request("shutdown").error().code == -32600
    client.notify("textDocument/didClose", {"textDocument": {"uri": URI}})
    client.notify("exit")
    assert client.exit_code() == 0
    assert "Traceback" not in client.stderr


def test_shutdown_and_exit_in_one_packet(start: StartServer, api: ScriptedApi) -> None:
    api.script = Answer("1", first_after=20)
    client = start()
    client.initialize()
    client.open(URI, "x = ")
    running = client.request_inline(URI, 0, 4)
    client.wait_for(lambda: api.completions, "the request at the API")
    shutdown, message = client.prepare("shutdown")
    client.send(message, notification("exit"))
    assert client.exit_code() == 0
    assert shutdown.result() is None
    assert running.error().code == -32800


def test_exit_without_shutdown_is_a_bad_end(start: StartServer) -> None:
    client = start()
    client.initialize()
    client.notify("exit")
    assert client.exit_code() == 1


def test_exit_before_initialize_is_a_bad_end(start: StartServer) -> None:
    client = start()
    client.notify("exit")
    assert client.exit_code() == 1


@pytest.mark.parametrize("tcp", [False, True], ids=["stdio", "tcp"])
def test_the_end_of_input_ends_the_server_and_its_requests(start: StartServer, api: ScriptedApi, tcp: bool) -> None:
    api.script = Answer("1", first_after=60)
    client = start(tcp=tcp)
    client.initialize()
    client.open(URI, "x = ")
    client.request_inline(URI, 0, 4)
    client.wait_for(lambda: api.completions, "the request at the API")
    client.hang_up()
    assert client.exit_code() == 1
    assert api.completions[-1].hung_up.wait(LIMIT)
    assert "Traceback" not in client.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="a pipe's end is the sign there")
@pytest.mark.parametrize("reads", [True, False], ids=["reading", "not reading"])
def test_a_killed_editor_ends_the_server_although_its_pipe_is_held_open(tmp_path: Path, reads: bool) -> None:
    reading, writing = os.pipe()
    # The editor: starts the server on our pipe, says its process id, and lives until it is killed.
    editor = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import subprocess, sys, time\n"
            "server = subprocess.Popen(sys.argv[1:], stdin=0, stdout=2)\n"
            "print(server.pid, flush=True)\n"
            "time.sleep(600)\n",
            *SERVER,
        ],
        stdin=reading,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=private_environment(tmp_path, {"CODESTRAL_LS_BASE_URL": "sandbox:"}),
    )
    os.close(reading)
    try:
        assert editor.stdout is not None
        server = int(editor.stdout.readline())
        params = {"processId": editor.pid, "rootUri": None, "capabilities": {}}
        os.write(writing, frame({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}))
        assert editor.stderr is not None
        assert b"Content-Length" in editor.stderr.readline()  # the server answers, on the editor's stderr
        if not reads:
            fill(editor.stderr, writing)
        editor.kill()
        editor.wait()
        end = time.monotonic() + LIMIT
        while _is_alive(server):
            assert time.monotonic() < end, "the server outlived its editor"
            time.sleep(0.05)
    finally:
        os.close(writing)
        editor.kill()
        editor.wait()
        for stream in (editor.stdout, editor.stderr):
            assert stream is not None
            stream.close()


def fill(output: IO[bytes], given: int) -> None:
    """Has the server answer into a pipe that nobody reads, until it is stuck there."""
    import fcntl
    import termios

    os.write(given, b"".join(frame({"jsonrpc": "2.0", "id": n, "method": "test/none"}) for n in range(4000)))
    end, waiting = time.monotonic() + LIMIT, 0
    while waiting < 50_000:  # of more than 400,000 bytes; a pipe takes 65,536
        assert time.monotonic() < end, f"the server has written no more than {waiting} bytes"
        time.sleep(0.02)
        waiting = int.from_bytes(fcntl.ioctl(output, termios.FIONREAD, bytes(4)), sys.byteorder)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # An orphan that has ended stays a zombie until init, which a container may lack, collects it.
    state = Path(f"/proc/{pid}/stat")
    return not (state.exists() and state.read_text().rpartition(")")[2].split()[0] == "Z")


def test_the_server_leaves_when_told_by_signal(start: StartServer) -> None:
    client = start()
    client.initialize()
    client.process.send_signal(signal.SIGTERM)
    assert client.exit_code() != 0
    assert "Traceback" not in client.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="the limit of another process can be set on Linux alone")
def test_a_trace_file_that_cannot_grow_ends_the_trace_and_nothing_else(
    start: StartServer, api: ScriptedApi, tmp_path: Path
) -> None:
    import resource

    api.script = Answer("1")
    trace = tmp_path / "trace.jsonl"
    client = start(arguments=("serve", "--trace-file", str(trace)))
    client.initialize()
    resource.prlimit(client.process.pid, resource.RLIMIT_FSIZE, (1, 1))
    client.open(URI, "x = ")
    assert client.complete(URI, 0, 4)
    client.settle()
    assert client.stderr.count("The trace ends here") == 1
    assert client.shut_down() == 0
    assert len(client.stderr.splitlines()) == 1


def test_a_trace_is_sent_while_it_is_asked_for(start: StartServer, api: ScriptedApi) -> None:
    api.script = Answer("1")
    client = start()
    client.initialize()
    client.open(URI, "x = ")

    def traces() -> list[str]:
        return [params["message"] for method, params in client.notifications if method == "$/logTrace"]

    client.complete(URI, 0, 4)
    client.settle()
    assert traces() == []
    client.notify("$/setTrace", {"value": "verbose"})
    client.complete(URI, 0, 3)
    client.wait_for(traces, "a trace")
    assert "x = " not in traces()[0]
    client.notify("$/setTrace", {"value": "off"})
    client.complete(URI, 0, 2)
    client.settle()
    assert len(traces()) == 1
    client.notify("$/setTrace", {"value": "loud"})
    client.settle()
    client.assert_quiet()


def test_a_trace_may_be_asked_for_at_the_start(start: StartServer, api: ScriptedApi) -> None:
    api.script = Answer("1")
    client = start()
    client.initialize(trace="messages")
    client.open(URI, "x = ")
    client.complete(URI, 0, 4)
    client.wait_for(lambda: any(method == "$/logTrace" for method, _ in client.notifications), "a trace")
