"""Broken frames and messages: each is answered where it asks for an answer, and the next one is served."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.lsp_client import LspClient, frame

BODY = json.dumps({"jsonrpc": "2.0", "id": "own", "method": "shut the door"}).encode()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LspClient]:
    home: Path = tmp_path_factory.mktemp("frames")
    with LspClient(home, {"CODESTRAL_LS_BASE_URL": "http://127.0.0.1:9"}) as client:
        client.initialize()
        yield client


@pytest.fixture
def client(shared: LspClient) -> Iterator[LspClient]:
    """One server for all tests here, which still serves after each of them and has shown nothing."""
    shared.settle()
    shared.forget()
    yield shared
    shared.settle()
    assert shared.messages == []
    shared.assert_quiet()


def stray_code(client: LspClient) -> object:
    client.wait_for(lambda: client.strays, "an answer")
    return client.strays[0]["error"]["code"]


@pytest.mark.parametrize(
    "header",
    [
        b"content-length: %d\r\n\r\n",
        b"CONTENT-LENGTH:%d\r\n\r\n",
        b"Content-Length: %d\n\n",
        b"Content-Length: %d\r\nContent-Type: application/vscode-jsonrpc; charset=utf-8\r\n\r\n",
        b"Content-Type: application/vscode-jsonrpc; charset=utf8\r\nContent-Length: %d\r\n\r\n",
        b"noise\nContent-Length: %d\r\n\r\n",
        b"noise\r\n\r\nContent-Length: %d\r\n\r\n",
        b"noiseContent-Length: %d\r\n\r\n",
        b"\x00\xff\x1b[0m\r\nContent-Length: %d\r\n\r\n",
        b"Content-Length: 99999999999\r\n\r\nContent-Length: %d\r\n\r\n",
        b"Content-Length: 900000000\r\n\r\n{}Content-Length: %d\r\n\r\n",
        b"Content-Length: -1\r\n\r\nContent-Length: %d\r\n\r\n",
        b"Content-Length: one\r\n\r\nContent-Length: %d\r\n\r\n",
        b"Content-Length:\r\n\r\nContent-Length: %d\r\n\r\n",
    ],
)
def test_a_message_is_found_behind_this_header(client: LspClient, header: bytes) -> None:
    client.send_bytes(header % len(BODY) + BODY)
    assert stray_code(client) == -32601


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", -32700),
        (b"", -32700),
        (b"not json", -32700),
        (b'{"jsonrpc": "2.0", "method": "\xff\xfe"}', -32700),
        (b'{"jsonrpc": "2.0", "id": ' + b"9" * 10_000 + b"}", -32700),
        (b"[" * 100_000, -32700),
        (b"[" * 50_000 + b"]" * 50_000, -32700),
        (b"[]", -32600),
        (b'[{"jsonrpc":"2.0","id":1,"method":"shutdown"}]', -32600),
        (b'"text"', -32600),
        (b"7", -32600),
        (b"null", -32600),
        (b"{}", -32600),
        (b'{"jsonrpc":"1.0","id":"own","method":"shutdown"}', -32600),
        (b'{"id":"own","method":"shutdown"}', -32600),
        (b'{"jsonrpc":"2.0","id":"own","method":5}', -32600),
        (b'{"jsonrpc":"2.0","id":"own","method":"textDocument/didOpen","params":{}}', -32602),
        (
            b'{"jsonrpc":"2.0","id":"own","method":"textDocument/didClose","params":{"textDocument":{"uri":"file:///a"}}}',
            -32600,
        ),
    ],
    ids=lambda value: repr(value)[:48],
)
def test_what_is_no_message_gets_the_error_of_json_rpc(client: LspClient, body: bytes, code: int) -> None:
    client.send_bytes(frame(body))
    assert stray_code(client) == code


@pytest.mark.parametrize("depth", [200, 900])
def test_deep_nesting_in_parameters_harms_nobody(client: LspClient, depth: int) -> None:
    nested = b'{"a":' * depth + b"1" + b"}" * depth
    for method in (b"workspace/executeCommand", b"textDocument/inlineCompletion", b"workspace/didChangeConfiguration"):
        params = b'{"command":"codestral-ls.accepted","arguments":[%b],"settings":%b}' % (nested, nested)
        client.send_bytes(frame(b'{"jsonrpc":"2.0","id":"own","method":"%b","params":%b}' % (method, params)))
        client.wait_for(lambda: client.strays, "an answer")
        client.strays.clear()
    client.send_bytes(frame(b'{"jsonrpc":"2.0","method":"workspace/didChangeConfiguration","params":%b}' % nested))


@pytest.mark.parametrize("identity", ["text", 0, -1, 2**31])
def test_an_id_comes_back_as_it_was(client: LspClient, identity: object) -> None:
    client.send({"jsonrpc": "2.0", "id": identity, "method": "textDocument/inlineCompletion", "params": {"x": 1}})
    client.wait_for(lambda: client.strays, "an answer")
    assert client.strays[0]["id"] == identity
    assert client.strays[0]["error"]["code"] == -32602


def test_messages_may_come_a_byte_at_a_time(client: LspClient) -> None:
    for byte in frame(BODY):
        client.send_bytes(bytes([byte]))
    assert stray_code(client) == -32601


def test_bytes_of_a_message_are_no_part_of_the_log(client: LspClient) -> None:
    client.send_bytes(frame(b'{"the user\'s secret source code": '))
    assert stray_code(client) == -32700
    assert "secret source" not in client.stderr


def test_deep_nesting_does_not_fill_the_log_of_a_server_that_traces(tmp_path: Path) -> None:
    arguments = ("serve", "--trace-file", str(tmp_path / "trace.jsonl"))
    with LspClient(tmp_path, {"CODESTRAL_LS_BASE_URL": "http://127.0.0.1:9"}, arguments=arguments) as client:
        client.initialize()
        nested = b'{"a":' * 900 + b"1" + b"}" * 900
        client.send_bytes(
            frame(b'{"jsonrpc":"2.0","id":"own","method":"workspace/executeCommand","params":%b}' % nested)
        )
        client.wait_for(lambda: client.strays, "an answer")
        client.settle()
        assert len(client.stderr) < 1000
        client.assert_quiet()
