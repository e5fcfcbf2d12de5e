"""From an address to a connection: certificates, time-outs, hosts that are not there, and dials that are shared."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import httpx
import pytest
from support.tls_server import Act, Reply, TlsServer
from transport_helpers import client_for, echo, opened, run, transport_for

from codestral_ls.api.transport import eyeballs, pool
from codestral_ls.api.transport.dial import Gate

IN_TIME = httpx.Timeout(20, connect=0.1)


@asynccontextmanager
async def mute_listener() -> AsyncIterator[int]:
    """A port that accepts connections and never says a word."""
    writers = []
    server = await asyncio.start_server(lambda _, writer: writers.append(writer), "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()
        await asyncio.sleep(0)


def test_an_untrusted_certificate_is_told_apart() -> None:
    with TlsServer(echo) as server:

        async def main() -> None:
            async with client_for(ca_file=None) as client:
                with pytest.raises(httpx.ConnectError, match="not trusted") as caught:
                    await client.get(server.url)
                assert isinstance(caught.value.__cause__, ssl.SSLCertVerificationError)
            assert server.requests == []

        run(main)


def test_a_certificate_for_another_host_is_told_apart() -> None:
    with TlsServer(echo, host_names=["elsewhere.example"]) as server:

        async def main() -> None:
            async with client_for(server) as client:
                with pytest.raises(httpx.ConnectError) as caught:
                    await client.get(server.url)
                assert isinstance(caught.value.__cause__, ssl.SSLCertVerificationError)

        run(main)


def test_verification_can_be_switched_off() -> None:
    with TlsServer(echo, host_names=["elsewhere.example"]) as server:

        async def main() -> None:
            async with client_for(verify=False) as client:
                assert (await client.get(server.url)).status_code == 200

        run(main)


@pytest.mark.parametrize("content", [None, "not a certificate"])
def test_a_ca_file_that_cannot_be_used_is_named(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)

    async def main() -> None:
        async with client_for(ca_file=str(file)) as client:
            with pytest.raises(httpx.ConnectError, match=r"ca\.pem cannot be used"):
                await client.get("https://127.0.0.1:9/")

    run(main)


@pytest.mark.parametrize(
    ("answer", "cause"), [(b"HTTP/1.1 400 Bad Request\r\n\r\n", ssl.SSLError), (b"", ConnectionResetError)]
)
def test_a_server_without_tls_is_a_connect_error(answer: bytes, cause: type[Exception]) -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100_000)
        writer.write(answer)
        writer.close()

    async def main() -> None:
        server = await asyncio.start_server(refuse, "127.0.0.1", 0)
        async with server, client_for() as client:
            with pytest.raises(httpx.ConnectError, match=r"TLS|closed") as caught:
                await client.get(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
            assert isinstance(caught.value.__cause__, cause)

    run(main)


def test_a_server_that_accepts_and_is_mute_in_the_handshake_is_a_connect_timeout() -> None:
    async def main() -> None:
        async with mute_listener() as port, client_for(timeout=IN_TIME) as client:
            with pytest.raises(httpx.ConnectTimeout):
                await client.get(f"https://127.0.0.1:{port}/")

    run(main)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_port_where_nobody_listens_is_a_connect_error(scheme: str, unused_port: int) -> None:
    async def main() -> None:
        async with client_for() as client:
            with pytest.raises(httpx.ConnectError, match="cannot be reached") as caught:
                await client.get(f"{scheme}://127.0.0.1:{unused_port}/")
            assert isinstance(caught.value.__cause__, ConnectionRefusedError)

    run(main)


def test_a_name_that_does_not_resolve_is_a_connect_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: Any, **__: Any) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)

    async def main() -> None:
        async with client_for() as client:
            with pytest.raises(httpx.ConnectError, match="resolved") as caught:
                await client.get("https://api.example/")
            assert isinstance(caught.value.__cause__, socket.gaierror)

    run(main)


@pytest.mark.parametrize("url", ["ftp://example.org/", "https:///path"])
def test_other_schemes_are_unsupported(url: str) -> None:
    async def main() -> None:
        async with transport_for() as transport:
            with pytest.raises(httpx.UnsupportedProtocol):
                await transport.handle_async_request(httpx.Request("GET", url))

    run(main)


@pytest.mark.parametrize("protocol", ["h2", "http/1.1"])
def test_a_server_that_does_not_answer_is_a_read_timeout_and_learns_of_it(protocol: str) -> None:
    with TlsServer(lambda request: Act.SILENCE, protocols=[protocol]) as server:

        async def main() -> None:
            async with client_for(server, timeout=httpx.Timeout(20, read=0.1)) as client:
                with pytest.raises(httpx.ReadTimeout, match="did not answer"):
                    await client.get(server.url)
                await server.until(lambda: server.requests[0].reset_at)

        run(main)


@pytest.mark.parametrize("protocol", ["h2", "http/1.1"])
def test_a_server_that_falls_silent_is_a_read_timeout_and_learns_of_it(protocol: str) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"first"
        await asyncio.sleep(3600)

    with TlsServer(lambda request: Reply(body=body()), protocols=[protocol]) as server:

        async def main() -> None:
            async with client_for(server, timeout=httpx.Timeout(20, read=0.1)) as client:
                with pytest.raises(httpx.ReadTimeout, match="did not go on"):
                    await client.get(server.url)
                await server.until(lambda: server.requests[0].reset_at)

        run(main)


def test_no_limits_at_all_are_taken() -> None:
    with TlsServer(echo) as server:

        async def main() -> None:
            async with transport_for(server) as transport:
                response = await transport.handle_async_request(httpx.Request("GET", server.url))
                assert await response.aread() == b""

        run(main)


@pytest.mark.parametrize("protocol", ["h2", "http/1.1"])
def test_warming_and_a_request_share_one_dial(protocol: str) -> None:
    with TlsServer(echo, protocols=[protocol]) as server:

        async def main() -> None:
            async with client_for(server) as client:
                transport: Any = client._transport
                response, *_ = await asyncio.gather(
                    client.get(server.url), *(transport.warm(server.url) for _ in range(5))
                )
                assert response.extensions["network"] == {"connection": 1, "reused": False}
                await transport.warm(server.url)
                assert opened(client) == 1

        run(main)


@pytest.mark.parametrize("protocol", ["h2", "http/1.1"])
def test_a_request_after_warming_waits_for_no_handshake(protocol: str) -> None:
    with TlsServer(echo, protocols=[protocol]) as server:

        async def main() -> None:
            async with client_for(server) as client:
                await client._transport.warm(f"{server.url}/any/path")  # type: ignore[attr-defined]
                assert opened(client) == 1
                assert (await client.get(server.url)).extensions["network"] == {"connection": 1, "reused": True}

        run(main)


def test_warming_a_host_that_is_not_there_raises_nothing(unused_port: int, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with transport_for() as transport:
            await transport.warm(f"https://127.0.0.1:{unused_port}/")

    with caplog.at_level("INFO"):
        run(main)
    assert "cannot be reached" in caplog.text


@pytest.mark.parametrize("url", ["ftp://example.org/", "https://[", ""])
def test_warming_a_host_that_makes_no_sense_raises_nothing(url: str, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with transport_for() as transport:
            await transport.warm(url)

    with caplog.at_level("INFO"):
        run(main)
    assert "no connection ahead of time" in caplog.text


def test_all_who_wait_for_a_dial_hear_of_its_failure(unused_port: int) -> None:
    async def main() -> None:
        async with client_for() as client:
            requests = [client.get(f"https://127.0.0.1:{unused_port}/{n}") for n in range(4)]
            outcomes = await asyncio.gather(*requests, return_exceptions=True)
            assert {type(outcome) for outcome in outcomes} == {httpx.ConnectError}
            # Each has its own request, so the exceptions cannot be one object.
            assert {str(outcome.request.url.path) for outcome in outcomes} == {"/0", "/1", "/2", "/3"}  # type: ignore[union-attr]

    run(main)


def test_a_dial_that_led_nowhere_is_not_joined_by_the_next_request() -> None:
    async def main() -> None:
        accepted = []
        server = await asyncio.start_server(lambda _, writer: accepted.append(writer), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server, client_for(timeout=IN_TIME) as client:
            for count in (1, 2, 3):
                with pytest.raises(httpx.ConnectTimeout):
                    await client.get(f"https://127.0.0.1:{port}/")
                assert len(accepted) == count
            for writer in accepted:
                writer.transport.abort()
            await asyncio.sleep(0)

    run(main)


def test_a_stuck_dial_is_begun_afresh_for_those_who_still_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "DIAL_SECONDS", 0.05)

    async def main() -> None:
        accepted = []
        server = await asyncio.start_server(lambda _, writer: accepted.append(writer), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server, client_for(timeout=httpx.Timeout(20, connect=0.5)) as client:
            with pytest.raises(httpx.ConnectTimeout):
                await client.get(f"https://127.0.0.1:{port}/")
            assert len(accepted) > 1
            for writer in accepted:
                writer.transport.abort()
            await asyncio.sleep(0)

    run(main)


def test_closing_the_transport_ends_a_dial_and_those_who_wait_for_it() -> None:
    async def main() -> None:
        async with mute_listener() as port:
            transport = transport_for()
            waiting = asyncio.ensure_future(
                transport.handle_async_request(httpx.Request("GET", f"https://127.0.0.1:{port}/"))
            )
            await asyncio.sleep(0.05)
            await transport.aclose()
            with pytest.raises(httpx.ConnectError, match="closed"):
                await waiting

    run(main)


def test_cancelling_a_dial_at_any_moment_leaves_no_socket_behind() -> None:
    with TlsServer(echo) as server:

        async def main() -> None:
            for moment in range(60):
                transport = transport_for(server)
                warming = asyncio.ensure_future(transport.warm(server.url))
                for _ in range(moment):
                    await asyncio.sleep(0.0002)
                warming.cancel()
                await transport.aclose()
                await asyncio.gather(warming, return_exceptions=True)

        run(main)  # pytest turns a ResourceWarning into a failure


def test_what_arrives_before_the_owner_does_is_kept_for_it() -> None:
    class Owner(asyncio.Protocol):
        def __init__(self) -> None:
            self.events: list[object] = []

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.events.append("made")

        def data_received(self, data: bytes) -> None:
            self.events.append(data)

        def connection_lost(self, exc: Exception | None) -> None:
            self.events.append("lost")

    for lost_early in (False, True):
        gate, owner = Gate(), Owner()
        gate.connection_made(Mock(spec=asyncio.Transport))
        gate.data_received(b"one,")
        gate.data_received(b"two")
        if lost_early:
            gate.connection_lost(None)
        gate.hand_over(owner)
        gate.data_received(b"three")
        if not lost_early:
            gate.connection_lost(None)
        assert owner.events[:2] == ["made", b"one,two"]
        assert set(owner.events[2:]) == {b"three", "lost"}


V6, V4 = socket.AF_INET6, socket.AF_INET


def test_address_families_take_turns() -> None:
    infos: Any = [(V6, 0, 0, "", "a"), (V6, 0, 0, "", "b"), (V4, 0, 0, "", "c"), (V6, 0, 0, "", "d")]
    assert [info[4] for info in eyeballs.interleaved(infos)] == ["a", "c", "b", "d"]


def test_a_refused_address_makes_way_for_the_next(monkeypatch: pytest.MonkeyPatch, unused_port: int) -> None:
    with TlsServer(echo, tls=False) as server:
        addresses = [("127.0.0.1", unused_port), ("127.0.0.1", server.port)]
        infos = [(V4, socket.SOCK_STREAM, 6, "", address) for address in addresses]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: infos)

        async def main() -> None:
            async with client_for() as client:
                assert (await client.get("http://both.example/")).status_code == 200

        run(main)


def test_a_stuck_address_does_not_hold_up_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eyeballs, "ATTEMPT_DELAY", 0.01)
    with TlsServer(echo, tls=False) as server:
        infos = [
            (V4, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 9)),
            (V4, socket.SOCK_STREAM, 6, "", ("127.0.0.1", server.port)),
        ]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: infos)

        async def main() -> None:
            loop: Any = asyncio.get_running_loop()
            really = loop.sock_connect

            async def connect(sock: socket.socket, address: tuple[str, int]) -> None:
                # TEST-NET-1 (RFC 5737) stands for an address whose packets vanish.
                await (asyncio.sleep(3600) if address[0] == "192.0.2.1" else really(sock, address))

            loop.sock_connect = connect
            async with client_for() as client:
                assert (await client.get("http://both.example/")).status_code == 200

        run(main)


def test_of_two_addresses_that_answer_together_one_socket_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eyeballs, "ATTEMPT_DELAY", 0.01)
    with TlsServer(echo, tls=False) as server:
        infos = [(V4, socket.SOCK_STREAM, 6, "", ("127.0.0.1", server.port))] * 2
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: infos)

        async def main() -> None:
            loop: Any = asyncio.get_running_loop()
            really = loop.sock_connect
            together = asyncio.Event()
            sockets: list[socket.socket] = []

            async def connect(sock: socket.socket, address: tuple[str, int]) -> None:
                sockets.append(sock)
                await really(sock, address)
                if len(sockets) == 2:
                    together.set()
                await together.wait()

            loop.sock_connect = connect
            winner = await eyeballs.connect_socket("both.example", server.port)
            try:
                assert [sock.fileno() for sock in sockets if sock is not winner] == [-1]
            finally:
                winner.close()

        run(main)
