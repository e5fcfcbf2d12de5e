"""What every test of the transport does: run in a loop that complains about leaks, with a client of our transport."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

import httpx
from support.tls_server import Reply, Request, TlsServer, ticking

from codestral_ls.api.transport import NetworkOptions, Transport

LIMIT = 30.0  # seconds; a guard against hanging, never an expectation


def run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run `main` in asyncio's debug mode; an exception that reached the loop, or a task left behind, is a failure."""
    complaints: list[dict[str, Any]] = []

    async def guarded() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: complaints.append(context))
        # Debug mode also reports slow callbacks, of which a busy machine has many.
        loop.slow_callback_duration = 60.0
        await asyncio.wait_for(main(), LIMIT)
        for _ in range(5):
            await asyncio.sleep(0)  # httpx's generators are closed by tasks of their own
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, f"tasks left behind: {left}"

    logging.getLogger("asyncio").setLevel(logging.WARNING)
    asyncio.run(guarded(), debug=True)
    assert not complaints


def transport_for(server: TlsServer | None = None, **options: Any) -> Transport:
    defaults: dict[str, Any] = {
        "proxy": "none",
        "environment": {},
        "ca_file": server.ca_file or None if server else None,
    }
    return Transport(network=NetworkOptions(**(defaults | options)))


def client_for(server: TlsServer | None = None, *, timeout: Any = LIMIT, **options: Any) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=transport_for(server, **options), timeout=timeout)


def opened(client: httpx.AsyncClient) -> int:
    transport = client._transport
    assert isinstance(transport, Transport)
    return transport.connections_opened


def echo(request: Request) -> Reply:
    """Answers at once with the request's body."""
    return Reply(body=request.body)


def endless(request: Request) -> Reply:
    """Streams for ever, except for `/now`, which is answered at once."""
    if request.path == "/now":
        return Reply(body=b"now")
    return Reply(headers=[("Content-Type", "text/event-stream")], body=ticking())
