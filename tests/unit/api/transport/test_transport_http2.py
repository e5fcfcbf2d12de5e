"""HTTP/2 beyond cancelling: many streams, flow control both ways, servers that refuse or leave."""

from __future__ import annotations

import asyncio
import hashlib
import threading

import httpx
import pytest
from h2.connection import H2Connection
from support.tls_server import Act, Reply, Request, TlsServer
from transport_helpers import client_for, echo, endless, opened, run

from codestral_ls.api.transport import http2

MEGABYTE = 1024 * 1024
LARGE = bytes(range(256)) * (3 * 4 * 1024)  # 3 MiB


def test_concurrent_requests_share_one_connection() -> None:
    def slow_echo(request: Request):  # type: ignore[no-untyped-def]
        async def answer() -> Reply:
            await asyncio.sleep(0.02)
            return echo(request)

        return answer()

    with TlsServer(slow_echo) as server:

        async def main() -> None:
            async with client_for(server) as client:
                answers = await asyncio.gather(*(client.post(server.url, content=b"%d" % n) for n in range(50)))
                assert [answer.text for answer in answers] == [str(n) for n in range(50)]
                assert opened(client) == 1

        run(main)


def test_a_request_carries_its_method_path_headers_and_body() -> None:
    with TlsServer(echo) as server:

        async def main() -> None:
            async with client_for(server) as client:
                headers = {"Authorization": "Bearer k", "X-Mixed-Case": "v", "Connection": "keep-alive"}
                await client.post(f"{server.url}/v1/fim?x=%20y", json={"a": 1}, headers=headers)
                (request,) = server.requests
                assert (request.method, request.path) == ("POST", "/v1/fim?x=%20y")
                assert request.headers["authorization"] == "Bearer k"
                assert request.headers["x-mixed-case"] == "v"
                assert request.headers["host"] == f"127.0.0.1:{server.port}"
                assert request.headers["content-length"] == str(len(request.body))
                assert "connection" not in request.headers
                assert request.body == b'{"a":1}'

        run(main)


def test_status_headers_and_compressed_body_arrive() -> None:
    import gzip

    reply = Reply(404, [("Content-Encoding", "gzip"), ("X-Twice", "1"), ("X-Twice", "2")], gzip.compress(b"text"))
    with TlsServer(lambda _: reply) as server:

        async def main() -> None:
            async with client_for(server) as client:
                response = await client.get(server.url)
                assert response.status_code == 404
                assert response.text == "text"
                assert response.headers.get_list("x-twice") == ["1", "2"]

        run(main)


def test_a_large_request_and_a_large_answer_pass_the_flow_control_windows() -> None:
    with TlsServer(echo) as server:

        async def main() -> None:
            async with client_for(server) as client:
                answers = await asyncio.gather(*(client.post(server.url, content=LARGE) for _ in range(3)))
                digest = hashlib.sha256(LARGE).digest()
                assert [hashlib.sha256(answer.content).digest() for answer in answers] == [digest] * 3
                assert opened(client) == 1

        run(main)


def test_a_request_body_may_be_a_stream() -> None:
    async def body():  # type: ignore[no-untyped-def]
        for number in range(10):
            yield b"%d," % number
            await asyncio.sleep(0)

    with TlsServer(echo) as server:

        async def main() -> None:
            async with client_for(server) as client:
                assert (await client.post(server.url, content=body())).text == "0,1,2,3,4,5,6,7,8,9,"

        run(main)


def test_an_answer_that_is_not_read_is_not_buffered_beyond_its_window() -> None:
    sent = 0

    def handler(request: Request) -> Reply:
        async def body():  # type: ignore[no-untyped-def]
            nonlocal sent
            while True:
                yield b"x" * 16_384
                sent += 16_384

        return Reply(body=body()) if request.path == "/flood" else Reply(body=b"ok")

    with TlsServer(handler) as server:

        async def main() -> None:
            async with client_for(server) as client, client.stream("GET", f"{server.url}/flood") as response:
                for _ in range(20):
                    assert (await client.get(server.url)).text == "ok"
                assert 0 < sent <= http2.STREAM_WINDOW
                stalled_at = sent
                reading = response.aiter_raw()
                received = 0
                while received < MEGABYTE:
                    received += len(await reading.__anext__())
                assert sent > stalled_at

        run(main)


def test_a_server_that_takes_nothing_in_is_a_write_timeout_and_harms_no_other_request() -> None:
    with TlsServer(echo, acknowledge_uploads=False) as server:

        async def main() -> None:
            async with client_for(server, timeout=httpx.Timeout(30, write=0.1)) as client:
                await client.get(server.url)
                with pytest.raises(httpx.WriteTimeout):
                    await client.post(server.url, content=LARGE)
                assert (await client.get(server.url)).status_code == 200
                assert opened(client) == 1

        run(main)


def test_an_answer_in_the_middle_of_a_large_request_ends_the_sending() -> None:
    with TlsServer(lambda _: Reply(413), acknowledge_uploads=False, answer_before_body=True) as server:

        async def main() -> None:
            async with client_for(server) as client:
                assert (await client.post(server.url, content=LARGE)).status_code == 413
                await server.until(lambda: server.requests[0].reset_at)
                assert (await client.get(server.url)).status_code == 413
                assert opened(client) == 1

        run(main)


def test_a_finished_stream_is_not_reset(monkeypatch: pytest.MonkeyPatch) -> None:
    resets = []
    monkeypatch.setattr(H2Connection, "reset_stream", lambda _, *arguments: resets.append(arguments))
    with TlsServer(echo) as server:

        async def main() -> None:
            async with client_for(server) as client:
                async with client.stream("POST", server.url, content=LARGE) as response:
                    async for _ in response.aiter_raw():
                        pass
                await client.get(server.url)
            assert resets == []

        run(main)


def test_a_second_connection_is_opened_only_when_the_first_is_full() -> None:
    with TlsServer(endless, max_concurrent_streams=2) as server:

        async def main() -> None:
            async with client_for(server) as client:
                await client.get(f"{server.url}/now")
                streams = []
                connections = []
                for _ in range(4):
                    response = await client.send(client.build_request("GET", server.url), stream=True)
                    streams.append(response)
                    connections.append(response.extensions["network"]["connection"])
                assert connections == [1, 1, 2, 2]
                await streams[0].aclose()
                assert (await client.get(f"{server.url}/now")).extensions["network"]["connection"] == 1
                for response in streams:
                    await response.aclose()

        run(main)


def test_goaway_lets_streams_below_its_mark_finish_and_sends_new_requests_elsewhere() -> None:
    release = asyncio.Event()

    def handler(request: Request) -> Reply:
        async def body():  # type: ignore[no-untyped-def]
            yield b"begun,"
            await release.wait()
            yield b"finished"

        return Reply(body=body()) if request.path == "/long" else Reply(body=b"ok")

    with TlsServer(handler) as server:

        async def main() -> None:
            async with client_for(server) as client, client.stream("GET", f"{server.url}/long") as response:
                reading = response.aiter_raw()
                assert await reading.__anext__() == b"begun,"
                line = server.connections[0].line
                server.call(line.goaway, server.requests[0].stream)
                while (answer := await client.get(server.url)).extensions["network"]["connection"] == 1:
                    pass  # the GOAWAY is still on its way
                assert answer.text == "ok"
                server.call(release.set)
                assert await reading.__anext__() == b"finished"
                await server.until(lambda: server.connections[0].closed_at)
                assert (await client.get(server.url)).extensions["network"]["connection"] == 2

        run(main)


def test_a_request_above_the_goaway_mark_is_sent_again() -> None:
    def handler(request: Request) -> Reply | Act:
        if request.connection.number == 1:
            request.connection.line.goaway(0)
            return Act.SILENCE
        return echo(request)

    with TlsServer(handler) as server:

        async def main() -> None:
            async with client_for(server) as client:
                assert (await client.post(server.url, content=b"again")).text == "again"
                assert [request.connection.number for request in server.requests] == [1, 2]

        run(main)


def test_a_refused_stream_is_sent_again_but_not_for_ever() -> None:
    refusals = 1

    def handler(request: Request) -> Reply | Act:
        return Act.REFUSE if len(server.requests) <= refusals else echo(request)

    with TlsServer(handler) as server:

        async def main() -> None:
            nonlocal refusals
            async with client_for(server) as client:
                assert (await client.post(server.url, content=b"x")).text == "x"
                assert len(server.requests) == 2
                refusals = 1000
                with pytest.raises(httpx.RemoteProtocolError, match="refused"):
                    await client.post(server.url, content=b"x")
                assert len(server.requests) == 2 + 3

        run(main)


def test_a_stream_that_the_server_resets_is_not_sent_again() -> None:
    with TlsServer(lambda request: Act.RESET) as server:

        async def main() -> None:
            async with client_for(server) as client:
                with pytest.raises(httpx.RemoteProtocolError, match="INTERNAL_ERROR"):
                    await client.post(server.url, content=b"x")
                assert len(server.requests) == 1

        run(main)


def test_fewer_streams_allowed_later_are_respected() -> None:
    with TlsServer(endless) as server:

        async def main() -> None:
            async with client_for(server) as client:
                first = await client.send(client.build_request("GET", server.url), stream=True)
                server.call(server.connections[0].line.limit_streams, 1)
                while (answer := await client.get(f"{server.url}/now")).extensions["network"]["connection"] == 1:
                    pass  # the SETTINGS are still on their way
                assert answer.text == "now"
                await first.aclose()

        run(main)


def test_a_silent_old_connection_is_pinged_and_left_if_it_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http2, "SILENCE_SECONDS", -1.0)
    monkeypatch.setattr(http2, "PING_SECONDS", 0.01)
    awake = threading.Event()
    with TlsServer(echo) as server:

        async def main() -> None:
            async with client_for(server) as client:
                await client.get(server.url)
                # Stops the server's whole thread, so that not even a ping is answered.
                server.loop.call_soon_threadsafe(awake.wait, 20)
                stalled = asyncio.ensure_future(client.get(server.url))
                (pool,) = client._transport._pools.values()  # type: ignore[attr-defined]
                await server.until(lambda: not any(connection.has_room for connection in pool._connections))
                awake.set()
                assert (await stalled).extensions["network"]["connection"] == 1
                assert (await client.get(server.url)).extensions["network"]["connection"] == 2

        run(main)


def test_a_silent_old_connection_that_answers_the_ping_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http2, "SILENCE_SECONDS", -1.0)
    with TlsServer(echo) as server:

        async def main() -> None:
            async with client_for(server) as client:
                for _ in range(3):
                    await client.get(server.url)
                assert opened(client) == 1
                assert server.connections[0].pings == 3

        run(main)
