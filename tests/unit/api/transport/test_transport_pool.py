"""What becomes of connections between requests: kept, swept, found closed, and given up at the end."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from support.tls_server import Act, Reply, Request, TlsServer
from transport_helpers import client_for, echo, endless, opened, run

from codestral_ls.api.transport import NetworkOptions, Transport

BOTH = pytest.mark.parametrize("protocol", ["h2", "http/1.1"])


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def clocked(server: TlsServer, clock: Clock, idle_seconds: float = 300.0) -> httpx.AsyncClient:
    network = NetworkOptions(proxy="none", environment={}, ca_file=server.ca_file, idle_seconds=idle_seconds)
    return httpx.AsyncClient(transport=Transport(network=network, clock=clock), timeout=30)


@BOTH
@pytest.mark.parametrize(("pause", "connections"), [(299.0, 1), (300.0, 2)])
def test_an_idle_connection_is_kept_for_so_long(protocol: str, pause: float, connections: int) -> None:
    with TlsServer(echo, protocols=[protocol]) as server:

        async def main() -> None:
            clock = Clock()
            async with clocked(server, clock) as client:
                await client.get(server.url)
                clock.now += pause
                await client.get(server.url)
                assert opened(client) == connections

        run(main)


@BOTH
def test_use_begins_the_idle_time_anew(protocol: str) -> None:
    with TlsServer(echo, protocols=[protocol]) as server:

        async def main() -> None:
            clock = Clock()
            async with clocked(server, clock) as client:
                for _ in range(5):
                    await client.get(server.url)
                    clock.now += 200.0
                assert opened(client) == 1

        run(main)


@BOTH
def test_a_busy_connection_does_not_grow_old(protocol: str) -> None:
    with TlsServer(endless, protocols=[protocol]) as server:

        async def main() -> None:
            clock = Clock()
            async with clocked(server, clock) as client, client.stream("GET", server.url) as response:
                for _ in range(3):
                    clock.now += 1000.0
                    await client.get(f"{server.url}/now")
                async for _ in response.aiter_raw():
                    break
                assert server.connections[0].closed_at is None

        run(main)


@BOTH
def test_an_idle_connection_is_closed_without_a_further_request(protocol: str) -> None:
    with TlsServer(echo, protocols=[protocol]) as server:

        async def main() -> None:
            async with client_for(server, idle_seconds=0.05) as client:
                await client.get(server.url)
                await server.until(lambda: server.connections[0].closed_at)

        run(main)


@BOTH
def test_a_connection_that_the_server_closed_is_never_handed_out(protocol: str) -> None:
    with TlsServer(echo, protocols=[protocol]) as server:

        async def main() -> None:
            async with client_for(server) as client:
                for number in range(1, 4):
                    answer = await client.get(server.url)
                    assert answer.extensions["network"] == {"connection": number, "reused": False}
                    server.close_connections()
                    (pool,) = client._transport._pools.values()  # type: ignore[attr-defined]
                    await server.until(lambda pool=pool: not pool._connections)
                assert len(server.requests) == 3

        run(main)


@BOTH
def test_a_request_on_a_connection_that_closes_under_it_is_sent_once_more(protocol: str) -> None:
    def handler(request: Request) -> Reply | Act:
        # The second request finds the connection of the first closing.
        return Act.HANG_UP if request.connection.number == 1 and request.path == "/second" else echo(request)

    with TlsServer(handler, protocols=[protocol]) as server:

        async def main() -> None:
            async with client_for(server) as client:
                await client.get(server.url)
                answer = await client.post(f"{server.url}/second", content=b"body")
                assert answer.content == b"body"
                assert answer.extensions["network"] == {"connection": 2, "reused": False}

        run(main)


def test_a_request_is_sent_again_on_a_fresh_connection_although_idle_ones_are_left() -> None:
    def handler(request: Request):  # type: ignore[no-untyped-def]
        async def answer() -> Reply | Act:
            if request.path == "/second":
                return Act.HANG_UP if request.connection.number <= 3 else echo(request)
            await asyncio.sleep(0.05)
            return echo(request)

        return answer()

    with TlsServer(handler, protocols=["http/1.1"]) as server:

        async def main() -> None:
            async with client_for(server) as client:
                await asyncio.gather(*(client.get(server.url) for _ in range(3)))
                assert opened(client) == 3
                answer = await client.get(f"{server.url}/second")
                assert answer.extensions["network"] == {"connection": 4, "reused": False}
                assert [request.path for request in server.requests].count("/second") == 2

        run(main)


def test_a_host_known_to_speak_http11_is_dialled_once_for_each_who_waits() -> None:
    with TlsServer(endless, protocols=["http/1.1"]) as server:

        async def main() -> None:
            async with client_for(server) as client:
                first = await client.send(client.build_request("GET", server.url), stream=True)
                others = [asyncio.ensure_future(client.get(f"{server.url}/now")) for _ in range(3)]
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                (pool,) = client._transport._pools.values()  # type: ignore[attr-defined]
                assert len(pool._dials) == 3
                await asyncio.gather(*others)
                await first.aclose()

        run(main)


@BOTH
def test_a_request_on_a_new_connection_is_never_sent_again(protocol: str) -> None:
    with TlsServer(lambda request: Act.HANG_UP, protocols=[protocol]) as server:

        async def main() -> None:
            async with client_for(server) as client:
                with pytest.raises(httpx.RemoteProtocolError, match="without answering"):
                    await client.post(server.url, content=b"x")
                assert len(server.requests) == 1

        run(main)


@BOTH
def test_a_request_is_sent_at_most_twice(protocol: str) -> None:
    def handler(request: Request) -> Reply | Act:
        return Act.HANG_UP if request.path == "/second" else echo(request)

    with TlsServer(handler, protocols=[protocol]) as server:

        async def main() -> None:
            async with client_for(server) as client:
                await client.get(server.url)
                with pytest.raises(httpx.RemoteProtocolError, match="without answering"):
                    await client.post(f"{server.url}/second", content=b"x")
                assert [request.path for request in server.requests] == ["/", "/second", "/second"]

        run(main)


@BOTH
def test_a_streamed_body_is_not_sent_again(protocol: str) -> None:
    async def body():  # type: ignore[no-untyped-def]
        yield b"once"

    def handler(request: Request) -> Reply | Act:
        return Act.HANG_UP if request.path == "/second" else echo(request)

    with TlsServer(handler, protocols=[protocol]) as server:

        async def main() -> None:
            async with client_for(server) as client:
                await client.get(server.url)
                with pytest.raises(httpx.RemoteProtocolError):
                    await client.post(f"{server.url}/second", content=body())
                assert [request.path for request in server.requests] == ["/", "/second"]

        run(main)


@BOTH
def test_an_answer_that_breaks_off_is_an_error_and_not_sent_again(protocol: str) -> None:
    def handler(request: Request) -> Reply:
        async def body():  # type: ignore[no-untyped-def]
            yield b"first"
            request.connection.line.transport.abort()

        return Reply(body=body()) if request.path == "/second" else Reply()

    with TlsServer(handler, protocols=[protocol]) as server:

        async def main() -> None:
            async with client_for(server) as client:
                await client.get(server.url)
                with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
                    await client.get(f"{server.url}/second")
                assert len(server.requests) == 2
                assert (await client.get(server.url)).status_code == 200

        run(main)


def test_streams_that_fail_together_share_the_new_connection() -> None:
    def handler(request: Request) -> Reply | Act:
        return Act.SILENCE if request.connection.number == 1 and request.path != "/" else echo(request)

    with TlsServer(handler) as server:

        async def main() -> None:
            async with client_for(server) as client:
                await client.get(server.url)
                together = [asyncio.ensure_future(client.get(f"{server.url}/{n}")) for n in range(5)]
                await server.until(lambda: len(server.requests) == 6)
                server.close_connections()
                assert {(await each).status_code for each in together} == {200}
                assert opened(client) == 2

        run(main)


def test_more_http11_requests_than_connections_wait_their_turn() -> None:
    def slow(request: Request):  # type: ignore[no-untyped-def]
        async def answer() -> Reply:
            await asyncio.sleep(0.01)
            return echo(request)

        return answer()

    with TlsServer(slow, tls=False) as server:

        async def main() -> None:
            async with client_for(server) as client:
                answers = await asyncio.gather(*(client.post(server.url, content=b"%d" % n) for n in range(40)))
                assert [answer.text for answer in answers] == [str(n) for n in range(40)]
                assert opened(client) == 16

        run(main)


def test_waiting_too_long_for_a_turn_is_a_pool_timeout() -> None:
    with TlsServer(endless, tls=False) as server:

        async def main() -> None:
            async with client_for(server, timeout=httpx.Timeout(30, pool=0.05)) as client:
                streams = [await client.send(client.build_request("GET", server.url), stream=True) for _ in range(16)]
                with pytest.raises(httpx.PoolTimeout):
                    await client.get(server.url)
                for response in streams:
                    await response.aclose()

        run(main)


@BOTH
def test_closing_the_transport_fails_open_streams_and_ends_every_connection(protocol: str) -> None:
    with TlsServer(endless, protocols=[protocol]) as server:

        async def main() -> None:
            client = client_for(server)
            responses = [await client.send(client.build_request("GET", server.url), stream=True) for _ in range(3)]
            waiting = asyncio.ensure_future(responses[0].aread())
            await asyncio.sleep(0)
            await client.aclose()
            with pytest.raises(httpx.ReadError, match="closed here"):
                await waiting
            with pytest.raises(httpx.ReadError, match="closed here"):
                async for _ in responses[1].aiter_raw():
                    pass
            await responses[2].aclose()
            await server.until(lambda: all(served.closed_at for served in server.connections))

        run(main)


def test_a_closed_transport_refuses_requests() -> None:
    async def main() -> None:
        transport = Transport(network=NetworkOptions(environment={}))
        await transport.aclose()
        await transport.aclose()
        with pytest.raises(RuntimeError, match="closed"):
            await transport.handle_async_request(httpx.Request("GET", "http://127.0.0.1/"))

    run(main)


def test_a_transport_that_was_never_used_needs_no_event_loop() -> None:
    assert Transport(network=NetworkOptions()).connections_opened == 0


def test_two_hosts_have_connections_of_their_own() -> None:
    with TlsServer(echo, tls=False) as one, TlsServer(echo, tls=False) as other:

        async def main() -> None:
            async with client_for() as client:
                for _ in range(2):
                    for server in (one, other):
                        await client.get(server.url)
                assert (len(one.connections), len(other.connections)) == (1, 1)

        run(main)


def test_secrets_stay_out_of_the_options_repr() -> None:
    options: Any = NetworkOptions(proxy="http://u:hunter2@p:1", environment={"MISTRAL_API_KEY": "hunter2"})
    assert "hunter2" not in repr(options)
