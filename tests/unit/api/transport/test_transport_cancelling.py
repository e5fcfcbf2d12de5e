"""Completions are cancelled all day: what that costs in connections, and how soon the server knows."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from support.tls_server import Act, Reply, Request, TlsServer
from transport_helpers import client_for, echo, endless, opened, run, transport_for

CANCELS = 150
NOTICE_SECONDS = 0.2  # the project's requirement for how soon a cancel must be known to the server


@pytest.fixture(params=["h2", "http/1.1"])
def protocol(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def begin_and_close(client: httpx.AsyncClient, url: str) -> httpx.Response:
    async with client.stream("POST", url, json={"prompt": "x"}) as response:
        async for _ in response.aiter_raw():
            break
    return response


def test_150_cancelled_http2_streams_use_one_connection_and_are_noticed_in_time() -> None:
    with TlsServer(endless) as server:

        async def main() -> None:
            notices = []
            async with client_for(server) as client:
                for number in range(CANCELS):
                    response = await begin_and_close(client, server.url)
                    closed_at = asyncio.get_running_loop().time()
                    assert response.extensions["http_version"] == b"HTTP/2"
                    assert response.extensions["network"] == {"connection": 1, "reused": number > 0}
                    # The whole of another request comes after the reset on the same connection.
                    assert (await client.get(f"{server.url}/now")).text == "now"
                    reset_at = server.requests[2 * number].reset_at
                    assert reset_at is not None
                    notices.append(reset_at - closed_at)
                assert opened(client) == 1
            print(f"slowest notice of a cancel: {max(notices) * 1000:.2f} ms")
            assert max(notices) < NOTICE_SECONDS

        run(main)
        assert len(server.connections) == 1


def test_150_cancelled_http11_streams_are_noticed_in_time_and_no_later_request_begins_a_dial() -> None:
    with TlsServer(endless, protocols=["http/1.1"]) as server:

        async def main() -> None:
            notices = []
            async with client_for(server) as client:
                pool = None
                for number in range(CANCELS):
                    if pool is not None:
                        # What this request will take is there or under way before it is sent.
                        assert any(c.has_room for c in pool._connections) or pool._dials
                    before = opened(client)
                    under_way = len(pool._dials) if pool else 1
                    response = await begin_and_close(client, f"{server.url}/{number}")
                    closed_at = asyncio.get_running_loop().time()
                    assert opened(client) <= before + under_way
                    assert response.extensions["http_version"] == b"HTTP/1.1"
                    (pool,) = client._transport._pools.values()  # type: ignore[attr-defined]
                    request = next(r for r in server.requests if r.path == f"/{number}")
                    await server.until(lambda request=request: request.reset_at)
                    assert request.reset_at is not None
                    notices.append(request.reset_at - closed_at)
                # One for each cancel, and the last one's replacement at most.
                assert opened(client) <= CANCELS + 1
            print(f"slowest notice of a cancel: {max(notices) * 1000:.2f} ms")
            assert max(notices) < NOTICE_SECONDS

        run(main)


def test_an_overlapping_http11_request_takes_the_spare_that_the_last_cancel_left() -> None:
    with TlsServer(endless, protocols=["http/1.1"]) as server:

        async def main() -> None:
            async with client_for(server) as client:
                current = await client.send(client.build_request("POST", server.url), stream=True)
                waited = []
                for _ in range(20):
                    following = await client.send(client.build_request("POST", server.url), stream=True)
                    waited.append(not following.extensions["network"]["reused"])
                    await current.aclose()
                    current = following
                    # A human pause, during which the replacement is dialled.
                    await server.until(
                        lambda: any(c.has_room for c in next(iter(client._transport._pools.values()))._connections)
                    )  # type: ignore[attr-defined]
                await current.aclose()
                # The first overlap has no spare yet; it is the only one that waits.
                assert waited == [True] + [False] * 19

        run(main)


def test_a_cancelled_http11_stream_is_replaced_once_and_not_for_ever() -> None:
    with TlsServer(endless, protocols=["http/1.1"]) as server:

        async def main() -> None:
            async with client_for(server) as client:
                await begin_and_close(client, server.url)
                await server.until(lambda: len(server.connections) == 2)
                server.close_connections()
                await server.until(lambda: server.connections[1].closed_at)
                await asyncio.sleep(0.05)
                assert len(server.connections) == 2
                assert (await client.get(f"{server.url}/now")).text == "now"

        run(main)


def test_cancelling_before_the_headers_tells_the_server(protocol: str) -> None:
    def handler(request: Request) -> Reply | Act:
        return Act.SILENCE if request.path == "/silent" else Reply(body=b"ok")

    with TlsServer(handler, protocols=[protocol]) as server:

        async def main() -> None:
            async with client_for(server) as client:
                waiting = asyncio.ensure_future(client.post(f"{server.url}/silent", json={}))
                await server.until(lambda: server.requests)
                waiting.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await waiting
                await server.until(lambda: server.requests[0].reset_at)
                assert (await client.get(server.url)).text == "ok"
                assert len(server.connections) == (1 if protocol == "h2" else 2)

        run(main)


def test_cancelling_between_two_chunks_tells_the_server(protocol: str) -> None:
    def handler(request: Request) -> Reply:
        async def body():  # type: ignore[no-untyped-def]
            yield b"first"
            await asyncio.sleep(3600)

        return Reply(body=body())

    with TlsServer(handler, protocols=[protocol]) as server:

        async def main() -> None:
            got: list[bytes] = []

            async def read(client: httpx.AsyncClient) -> None:
                async with client.stream("GET", server.url) as response:
                    async for chunk in response.aiter_raw():
                        got.append(chunk)

            async with client_for(server) as client:
                reading = asyncio.ensure_future(read(client))
                await server.until(lambda: got)
                reading.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await reading
                await server.until(lambda: server.requests[0].reset_at)

        run(main)


def test_a_cancelled_read_gives_the_answer_up_even_if_nobody_closes_it(protocol: str) -> None:
    def handler(request: Request) -> Reply:
        async def body():  # type: ignore[no-untyped-def]
            yield b"first"
            await asyncio.sleep(3600)

        return Reply(body=body())

    with TlsServer(handler, protocols=[protocol]) as server:

        async def main() -> None:
            async with transport_for(server) as transport:
                response = await transport.handle_async_request(httpx.Request("GET", server.url))
                assert isinstance(response.stream, httpx.AsyncByteStream)
                chunks = aiter(response.stream)
                assert await anext(chunks) == b"first"
                reading = asyncio.ensure_future(anext(chunks))  # type: ignore[arg-type]
                await asyncio.sleep(0)
                reading.cancel()
                await server.until(lambda: server.requests[0].reset_at)

        run(main)


def test_cancelling_during_the_dial_leaves_the_connection_to_the_next_request() -> None:
    with TlsServer(echo) as server:

        async def main() -> None:
            async with client_for(server) as client:
                for _ in range(3):
                    early = asyncio.ensure_future(client.post(server.url, content=b"x"))
                    await asyncio.sleep(0)
                    await asyncio.sleep(0)
                    early.cancel()
                    with pytest.raises(asyncio.CancelledError):
                        await early
                assert (await client.post(server.url, content=b"y")).text == "y"
                assert opened(client) == 1
            assert [request.body for request in server.requests] == [b"y"]

        run(main)


def test_200_http2_requests_cancelled_before_their_answer_do_not_use_up_the_streams() -> None:
    def handler(request: Request) -> Reply | Act:
        return Act.SILENCE if request.path == "/silent" else Reply(body=b"ok")

    with TlsServer(handler, max_concurrent_streams=10) as server:

        async def main() -> None:
            async with client_for(server) as client:
                for _ in range(200):
                    waiting = asyncio.ensure_future(client.post(f"{server.url}/silent", json={}))
                    await asyncio.sleep(0.001)
                    waiting.cancel()
                    with pytest.raises(asyncio.CancelledError):
                        await waiting
                assert (await client.get(server.url)).text == "ok"
                assert opened(client) == 1

        run(main)


def test_closing_a_response_that_was_read_to_its_end_resets_nothing(protocol: str) -> None:
    with TlsServer(echo, protocols=[protocol]) as server:

        async def main() -> None:
            async with client_for(server) as client:
                for number in range(5):
                    assert (await client.post(server.url, content=b"x")).extensions["network"] == {
                        "connection": 1,
                        "reused": number > 0,
                    }
                assert [request.reset_at for request in server.requests] == [None] * 5

        run(main)


def test_cancelled_large_answers_give_their_flow_control_window_back() -> None:
    """Each cancel leaves unread data behind; unacknowledged, 4 MiB of it would stop the connection."""

    def handler(request: Request) -> Reply:
        return Reply(body=b"x" * (512 * 1024)) if request.path == "/large" else Reply(body=b"ok")

    with TlsServer(handler) as server:

        async def main() -> None:
            async with client_for(server) as client:
                for number in range(40):
                    response = await client.send(client.build_request("GET", f"{server.url}/large"), stream=True)
                    # An answered request behind it: much of the large answer has arrived by then.
                    assert (await client.get(server.url)).text == "ok"
                    await response.aclose()
                    await server.until(lambda number=number: server.requests[2 * number].reset_at)
                large = await client.get(f"{server.url}/large")
                assert len(large.content) == 512 * 1024
                assert opened(client) == 1

        run(main)
