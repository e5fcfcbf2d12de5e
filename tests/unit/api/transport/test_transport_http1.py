"""HTTP/1.1: keep-alive, bodies with and without a length, and what is not HTTP at all."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from support.tls_server import Reply, Request, TlsServer
from transport_helpers import client_for, echo, opened, run

LARGE = bytes(range(256)) * (3 * 4 * 1024)  # 3 MiB


@asynccontextmanager
async def scripted(*answers: bytes, close: bool = True) -> AsyncIterator[str]:
    """A server that sends one of `answers` to each connection's first request, word for word."""
    left = list(answers)
    writers = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        answer = left.pop(0)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        if close:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        for writer in writers:
            writer.transport.abort()
        server.close()
        await server.wait_closed()
        await asyncio.sleep(0)


@pytest.mark.parametrize("tls", [False, True])
def test_requests_one_after_another_share_a_connection(tls: bool) -> None:
    with TlsServer(echo, protocols=["http/1.1"], tls=tls) as server:

        async def main() -> None:
            async with client_for(server) as client:
                for number in range(5):
                    answer = await client.post(f"{server.url}/p?q=1", content=b"%d" % number)
                    assert answer.text == str(number)
                    assert answer.extensions["http_version"] == b"HTTP/1.1"
                assert opened(client) == 1
            assert server.requests[0].path == "/p?q=1"

        run(main)


def test_concurrent_requests_have_a_connection_each_and_leave_them_to_the_next() -> None:
    def slow_echo(request: Request):  # type: ignore[no-untyped-def]
        async def answer() -> Reply:
            await asyncio.sleep(0.05)
            return echo(request)

        return answer()

    with TlsServer(slow_echo, protocols=["http/1.1"]) as server:

        async def main() -> None:
            async with client_for(server) as client:
                for _ in range(3):
                    answers = await asyncio.gather(*(client.post(server.url, content=b"%d" % n) for n in range(5)))
                    assert [answer.text for answer in answers] == ["0", "1", "2", "3", "4"]
                assert opened(client) == 5

        run(main)


def test_a_large_request_and_a_large_answer() -> None:
    with TlsServer(echo, protocols=["http/1.1"]) as server:

        async def main() -> None:
            async with client_for(server) as client:
                answer = await client.post(server.url, content=LARGE)
                assert hashlib.sha256(answer.content).digest() == hashlib.sha256(LARGE).digest()
                assert (await client.post(server.url, content=b"x")).text == "x"
                assert opened(client) == 1

        run(main)


def test_a_request_body_may_be_a_stream() -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"one,"
        yield b"two"

    with TlsServer(echo, tls=False) as server:

        async def main() -> None:
            async with client_for(server) as client:
                assert (await client.post(server.url, content=body())).text == "one,two"
                assert server.requests[0].headers["transfer-encoding"] == "chunked"

        run(main)


def test_an_answer_that_is_not_read_makes_the_server_wait() -> None:
    sent = 0

    def handler(request: Request) -> Reply:
        async def body() -> AsyncIterator[bytes]:
            nonlocal sent
            for _ in range(2000):
                yield b"x" * 16_384
                sent += 16_384

        return Reply(body=body())

    with TlsServer(handler, tls=False) as server:

        async def main() -> None:
            async with client_for(server) as client, client.stream("GET", server.url) as response:
                previous = -1
                while sent != previous:
                    previous = sent
                    await asyncio.sleep(0.1)
                # The rest is in the two kernels' socket buffers.
                assert sent < 2000 * 16_384
                received = 0
                async for chunk in response.aiter_raw():
                    received += len(chunk)
                assert received == 2000 * 16_384

        run(main)


def test_a_body_without_length_ends_with_the_connection() -> None:
    async def main() -> None:
        async with scripted(b"HTTP/1.1 200 OK\r\n\r\nall of it") as url, client_for() as client:
            assert (await client.get(url)).text == "all of it"

    run(main)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\ncut",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ncut",
        b"HTTP/1.1 200 OK\r\nContent-",
        b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000,
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    ],
    ids=["short", "short chunks", "short head", "not HTTP", "endless head", "another protocol"],
)
def test_a_broken_answer_is_a_protocol_error(answer: bytes) -> None:
    async def main() -> None:
        async with scripted(answer) as url, client_for() as client:
            with pytest.raises(httpx.RemoteProtocolError):
                await client.get(url)

    run(main)


def test_informational_answers_are_passed_over() -> None:
    answer = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

    async def main() -> None:
        async with scripted(answer) as url, client_for() as client:
            assert (await client.get(url)).text == "ok"

    run(main)


@pytest.mark.parametrize(
    "first",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK",
    ],
    ids=["Connection: close", "HTTP/1.0", "bytes after the end"],
)
def test_a_connection_that_cannot_serve_another_request_is_not_used_again(first: bytes) -> None:
    second = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nnew"

    async def main() -> None:
        async with scripted(first, second, close=False) as url, client_for() as client:
            assert (await client.get(url)).text == "ok"
            assert (await client.get(url)).text == "new"
            assert opened(client) == 2

    run(main)


def test_an_answer_in_the_middle_of_a_large_request_ends_the_sending() -> None:
    answer = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n"

    async def main() -> None:
        async with scripted(answer, close=False) as url, client_for() as client:
            response = await client.post(url, content=b"x" * (64 * 1024 * 1024))
            assert response.status_code == 413

    run(main)


def test_a_server_that_takes_nothing_in_is_a_write_timeout() -> None:
    async def main() -> None:
        writers = []

        async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            writers.append(writer)

        server = await asyncio.start_server(deaf, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        async with server, client_for(timeout=httpx.Timeout(20, write=0.1)) as client:
            with pytest.raises(httpx.WriteTimeout):
                await client.post(url, content=b"x" * (64 * 1024 * 1024))
            for writer in writers:
                writer.transport.abort()
            await asyncio.sleep(0)

    run(main)


def test_an_unasked_word_on_an_idle_connection_drops_it() -> None:
    with TlsServer(echo, tls=False) as server:

        async def main() -> None:
            async with client_for(server) as client:
                await client.get(server.url)
                line = server.connections[0].line
                server.call(line.transport.write, b"HTTP/1.1 408 Request Timeout\r\n\r\n")
                await server.until(lambda: server.connections[0].closed_at)
                assert (await client.get(server.url)).status_code == 200
                assert opened(client) == 2

        run(main)
