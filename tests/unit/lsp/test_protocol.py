"""What one connection's protocol says of a client's slips, and what it leaves unsaid."""

from __future__ import annotations

import json
import logging

import pytest

from codestral_ls.lsp.server import Server


@pytest.fixture
def server() -> Server:
    logging.getLogger("pygls.protocol.json_rpc").disabled = False
    server = Server({})
    receive(server, "initialize", {"processId": None, "rootUri": None, "capabilities": {}}, id=1)
    return server


def receive(server: Server, method: str, params: object, **fields: object) -> None:
    message = {"jsonrpc": "2.0", "method": method, "params": params, **fields}
    server.protocol.receive(json.dumps(message).encode())


def test_a_slip_is_one_line_of_ours_and_no_traceback(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    receive(server, "textDocument/didClose", {"textDocument": 7})
    (record,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert record.name == "codestral_ls.lsp.protocol"
    assert "Traceback" not in caplog.text


def test_the_logger_of_pygls_is_set_once_for_a_connection(server: Server) -> None:
    logger = logging.getLogger("pygls.protocol.json_rpc")
    assert logger.disabled
    logger.disabled = False
    receive(server, "textDocument/didClose", {"textDocument": 7})
    assert not logger.disabled
