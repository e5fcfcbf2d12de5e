"""Completions are cancelled all day: through the real process, over TLS and HTTP/2, that costs no connections."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

from support.lsp_client import LIMIT, StartServer
from support.tls_server import Reply, Request, TlsServer

URI = "file:///many.py"
CANCELS = 150


async def endless() -> AsyncIterator[bytes]:
    while True:
        chunk = {"choices": [{"index": 0, "delta": {"content": "word "}, "finish_reason": None}]}
        yield b"data: " + json.dumps(chunk).encode() + b"\n\n"
        await asyncio.sleep(0.02)


def test_cancelled_completions_share_a_connection_and_each_is_reset_at_the_api(
    start: StartServer, tmp_path: Path
) -> None:
    def answer(_request: Request) -> Reply:
        return Reply(headers=[("content-type", "text/event-stream")], body=endless())

    with TlsServer(answer) as server:
        variables = {"CODESTRAL_LS_BASE_URL": server.url, "CODESTRAL_LS_CA_FILE": server.ca_file}
        client = start(variables)
        client.initialize()
        client.open(URI, "".join(f"name{number} = \n" for number in range(CANCELS)))

        def asked() -> list[Request]:
            return [request for request in server.requests if request.method == "POST"]

        for number in range(CANCELS):
            pending = client.request_inline(URI, number, len(f"name{number} = "))
            client.wait_for(lambda number=number: len(asked()) > number, f"request {number} at the API")
            client.notify("$/cancelRequest", {"id": pending.id})
            assert pending.error().code == -32800
        client.wait_for(lambda: all(request.reset_at for request in asked()), "the reset of every stream")
        assert len(asked()) == CANCELS
        assert len(server.connections) <= 3
        assert {served.protocol for served in server.connections} == {"h2"}
        assert client.messages == []
        client.assert_quiet()
        client.hang_up()
        assert client.process.wait(LIMIT) == 1
