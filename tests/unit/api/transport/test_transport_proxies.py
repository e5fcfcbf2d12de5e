"""Which proxy leads where, and what is said to it: the pure rules, then a real proxy on loopback."""

from __future__ import annotations

import asyncio
import ssl
import sys
from collections.abc import Mapping

import httpx
import pytest
import trustme
from support.proxy_server import ProxyServer
from support.tls_server import TlsServer
from transport_helpers import client_for, echo, run

from codestral_ls.api.transport.proxies import (
    Proxy,
    bypasses,
    environment_proxy,
    is_loopback,
    parse_proxy,
    platform_proxy,
)
from codestral_ls.api.transport.tunnel import ConnectTunnel, ProxyRefusal, Socks5Tunnel

HOST = "api.mistral.ai"


@pytest.mark.parametrize(
    ("no_proxy", "host", "port", "expected"),
    [
        ("", HOST, 443, False),
        ("*", HOST, 443, True),
        ("mistral.ai", HOST, 443, True),
        ("mistral.ai", "mistral.ai", 443, True),
        ("mistral.ai", "notmistral.ai", 443, False),
        (".mistral.ai", HOST, 443, True),
        (".mistral.ai", "mistral.ai", 443, True),
        ("*.mistral.ai", HOST, 443, True),
        ("*.mistral.ai", "mistral.ai.evil.example", 443, False),
        ("MISTRAL.AI", "API.Mistral.ai.", 443, True),
        ("example.org, mistral.ai", HOST, 443, True),
        ("example.org mistral.ai", HOST, 443, True),
        ("example.org,,", HOST, 443, False),
        (f"{HOST}:443", HOST, 443, True),
        (f"{HOST}:8443", HOST, 443, False),
        ("10.0.0.0/8", "10.1.2.3", 80, True),
        ("10.0.0.0/8", "11.1.2.3", 80, False),
        ("10.1.2.3/8", "10.9.9.9", 80, True),
        ("10.0.0.0/8", "10.example.org", 80, False),
        ("10.0.0.0/99", "10.1.2.3", 80, False),
        ("10.1.2.3", "10.1.2.3", 80, True),
        ("10.1.2.3", "10.1.2.30", 80, False),
        ("10.1.2.3:8080", "10.1.2.3", 8080, True),
        ("10.1.2.3:8080", "10.1.2.3", 80, False),
        (".2.3", "10.1.2.3", 80, False),
        ("fd00::/8", "fd00::1", 80, True),
        ("fd00::/8", "fe80::1", 80, False),
        ("fd00::1", "fd00:0::1", 80, True),
        ("[fd00::1]", "fd00::1", 80, True),
        ("[fd00::1]:8080", "fd00::1", 8080, True),
        ("[fd00::1]:8080", "fd00::1", 80, False),
        (".", HOST, 443, False),
        ("*.", HOST, 443, False),
    ],
)
def test_no_proxy(no_proxy: str, host: str, port: int, expected: bool) -> None:
    assert bypasses(no_proxy, host, port) is expected


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True),
        ("LOCALHOST.", True),
        ("app.localhost", True),
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("notlocalhost", False),
        ("localhost.example.org", False),
        ("128.0.0.1", False),
        ("::2", False),
    ],
)
def test_loopback(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


@pytest.mark.parametrize(
    ("scheme", "environment", "expected"),
    [
        ("https", {}, None),
        ("https", {"HTTPS_PROXY": "http://p:1"}, "http://p:1"),
        ("https", {"https_proxy": "http://p:1"}, "http://p:1"),
        ("https", {"https_proxy": "http://low:1", "HTTPS_PROXY": "http://up:1"}, "http://low:1"),
        ("https", {"https_proxy": "", "HTTPS_PROXY": "http://up:1"}, None),
        ("https", {"HTTP_PROXY": "http://p:1"}, None),
        ("http", {"HTTP_PROXY": "http://p:1"}, "http://p:1"),
        ("http", {"ALL_PROXY": "socks5://p:1"}, "socks5://p:1"),
        ("https", {"ALL_PROXY": "socks5h://p"}, "socks5://p:1080"),
        ("https", {"all_proxy": "http://all:1", "HTTPS_PROXY": "http://own:1"}, "http://own:1"),
        ("https", {"HTTPS_PROXY": "p:3128"}, "http://p:3128"),
        ("https", {"HTTPS_PROXY": "p"}, "http://p:80"),
        ("https", {"HTTPS_PROXY": "https://p"}, "https://p:443"),
        ("https", {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "mistral.ai"}, None),
        ("https", {"HTTPS_PROXY": "http://p:1", "no_proxy": "mistral.ai"}, None),
        ("https", {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "example.org"}, "http://p:1"),
    ],
)
def test_the_environment_names_the_proxy(scheme: str, environment: Mapping[str, str], expected: str | None) -> None:
    found = environment_proxy(scheme, HOST, 443, environment)
    assert (found and str(found)) == expected


@pytest.mark.parametrize(
    ("system", "settings", "bypassed", "expected"),
    [
        ("Windows", {"https": "http://p:8080"}, False, "http://p:8080"),
        ("Windows", {"https": "http://p:8080"}, True, None),
        ("Windows", {"socks": "socks://p:1080"}, False, "socks5://p:1080"),
        ("Darwin", {"socks": "http://p:1080"}, False, "socks5://p:1080"),
        ("Darwin", {"http": "http://p:8080"}, False, None),
        ("Darwin", {}, False, None),
        ("Linux", {"https": "http://p:8080"}, False, None),
    ],
)
def test_macos_and_windows_have_settings_of_their_own(
    monkeypatch: pytest.MonkeyPatch, system: str, settings: dict[str, str], bypassed: bool, expected: str | None
) -> None:
    monkeypatch.setattr("platform.system", lambda: system)
    monkeypatch.setattr("urllib.request.getproxies", lambda: settings)
    monkeypatch.setattr("urllib.request.proxy_bypass", lambda host: bypassed)
    found = platform_proxy("https", HOST)
    assert (found and str(found)) == expected


def test_loopback_has_no_proxy_from_the_environment() -> None:
    assert environment_proxy("http", "localhost", 80, {"HTTP_PROXY": "http://p:1"}) is None


def test_userinfo_is_decoded_and_never_shown() -> None:
    proxy = parse_proxy("http://us%40er:p%3Ass@p:1")
    assert (proxy.username, proxy.password) == ("us@er", "p:ss")
    assert "p:ss" not in f"{proxy} {proxy!r}"


@pytest.mark.parametrize(
    "text", ["ftp://u:secret@p:1", "http://u:secret@:1", "http://u:secret@p:99999", "socks4://u:secret@p"]
)
def test_an_address_that_cannot_be_used_is_refused_without_its_password(text: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_proxy(text)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("cut", range(1, 60))
def test_connect_does_not_depend_on_how_its_answer_is_cut(cut: int) -> None:
    tunnel = ConnectTunnel(Proxy("http", "p", 1, "u", "pw"), HOST, 443)
    assert tunnel.greeting() == (
        b"CONNECT api.mistral.ai:443 HTTP/1.1\r\nHost: api.mistral.ai:443\r\n"
        b"Proxy-Authorization: Basic dTpwdw==\r\n\r\n"
    )
    answer = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nVia: x\r\n\r\n"
    for start in range(0, len(answer), cut):
        assert not tunnel.done
        assert tunnel.feed(answer[start : start + cut]) == b""
    assert tunnel.done


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "407 Proxy Authentication Required"),
        (b"HTTP/1.0 403 Forbidden\r\n\r\n<html>", "403 Forbidden"),
        (b"HTTP/1.1 200 OK\r\n\r\nsurprise", "sent data after"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "not answer like an HTTP proxy"),
        (b"x" * 70_000, "does not end"),
    ],
)
def test_connect_refusals_say_what_the_proxy_said(answer: bytes, message: str) -> None:
    tunnel = ConnectTunnel(Proxy("http", "p", 1), HOST, 443)
    with pytest.raises(ProxyRefusal, match=message):
        tunnel.feed(answer)


def test_connect_brackets_an_ipv6_address() -> None:
    assert ConnectTunnel(Proxy("http", "p", 1), "fd00::1", 443).greeting().startswith(b"CONNECT [fd00::1]:443 HTTP/1.1")


@pytest.mark.parametrize("cut", range(1, 24))
def test_socks5_does_not_depend_on_how_its_answers_are_cut(cut: int) -> None:
    tunnel = Socks5Tunnel(Proxy("socks5", "p", 1, "u", "pw"), HOST, 443)
    assert tunnel.greeting() == b"\x05\x02\x00\x02"
    sent = b""
    for answer in (b"\x05\x02", b"\x01\x00", b"\x05\x00\x00\x03\x04host\x00\x50"):
        assert not tunnel.done
        for start in range(0, len(answer), cut):
            sent += tunnel.feed(answer[start : start + cut])
    assert sent == b"\x01\x01u\x02pw" + b"\x05\x01\x00\x03\x0eapi.mistral.ai\x01\xbb"
    assert tunnel.done


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ([b"\x05\xff"], "user name and password"),
        ([b"\x05\x02"], "user name and password"),
        ([b"\x04\x00"], "not answer like a SOCKS5"),
        ([b"HTTP/1.1 400"], "not answer like a SOCKS5"),
        ([b"\x05\x00", b"\x05\x02\x00\x01" + bytes(6)], r"status 2 \(connection not allowed by ruleset\)"),
        ([b"\x05\x00", b"\x05\x04\x00\x01" + bytes(6)], "host unreachable"),
        ([b"\x05\x00", b"\x05\x00\x00\x09" + bytes(6)], "not answer like a SOCKS5"),
    ],
)
def test_socks5_refusals_say_what_the_proxy_said(answers: list[bytes], message: str) -> None:
    tunnel = Socks5Tunnel(Proxy("socks5", "p", 1), HOST, 443)
    tunnel.greeting()
    *earlier, last = answers
    for answer in earlier:
        tunnel.feed(answer)
    with pytest.raises(ProxyRefusal, match=message):
        tunnel.feed(last)


@pytest.mark.parametrize(
    ("host", "packed"), [("10.0.0.1", b"\x01\x0a\x00\x00\x01"), ("::1", b"\x04" + bytes(15) + b"\x01")]
)
def test_socks5_sends_addresses_as_addresses(host: str, packed: bytes) -> None:
    tunnel = Socks5Tunnel(Proxy("socks5", "p", 1), host, 80)
    tunnel.greeting()
    assert tunnel.feed(b"\x05\x00") == b"\x05\x01\x00" + packed + b"\x00\x50"


@pytest.mark.parametrize("protocol", ["h2", "http/1.1"])
@pytest.mark.parametrize("userinfo", ["", "us%40er:p%3Ass"])
@pytest.mark.parametrize("kind", ["http", "socks5"])
def test_https_goes_through_a_tunnel(kind: str, userinfo: str, protocol: str) -> None:
    credentials = ("us@er", "p:ss") if userinfo else None
    with (
        TlsServer(echo, protocols=[protocol], host_names=["api.example"]) as server,
        ProxyServer(kind, credentials=credentials) as proxy,
    ):

        async def main() -> None:
            async with client_for(server, proxy=proxy.url(userinfo=userinfo)) as client:
                url = f"https://api.example:{server.port}/"
                for _ in range(2):
                    assert (await client.post(url, content=b"x")).text == "x"
                (seen,) = proxy.seen
                assert seen.method == ("CONNECT" if kind == "http" else "SOCKS5")
                assert seen.target == f"api.example:{server.port}"
            assert "proxy-authorization" not in server.requests[0].headers

        run(main)


@pytest.mark.parametrize("userinfo", ["", "user:pass"])
def test_plain_http_is_forwarded_in_absolute_form(userinfo: str) -> None:
    credentials = ("user", "pass") if userinfo else None
    with TlsServer(echo, tls=False) as server, ProxyServer(credentials=credentials) as proxy:

        async def main() -> None:
            async with client_for(proxy=proxy.url(userinfo=userinfo)) as client:
                for body in (b"one", b"two"):
                    assert (await client.post(f"{server.url}/path?q", content=body)).content == body
            (seen,) = proxy.seen
            assert (seen.method, seen.target) == ("POST", f"{server.url}/path?q")
            assert server.requests[0].path == "/path?q"

        run(main)


@pytest.mark.parametrize("target_scheme", ["http", "https"])
def test_a_proxy_may_itself_speak_tls(target_scheme: str) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with TlsServer(echo, tls=target_scheme == "https") as server, ProxyServer(context=context) as proxy:

        async def main() -> None:
            async with client_for(proxy=proxy.url("https"), verify=False) as client:
                if target_scheme == "https" and sys.version_info < (3, 11):
                    with pytest.raises(httpx.ProxyError, match=r"3\.11"):
                        await client.get(server.url)
                    return
                assert (await client.post(server.url, content=b"x" * 100_000)).content == b"x" * 100_000

        run(main)


@pytest.mark.parametrize(
    ("proxy_options", "message"),
    [
        ({"status": "403 Forbidden"}, "403 Forbidden"),
        ({"status": "502 Bad Gateway"}, "502 Bad Gateway"),
        ({"credentials": ("u", "p")}, "407 Proxy Authentication Required"),
        ({"kind": "socks5", "status": "403"}, "not allowed by ruleset"),
        ({"kind": "socks5", "credentials": ("u", "p")}, "user name and password"),
    ],
)
def test_a_proxy_that_refuses_is_a_proxy_error_with_its_status(
    proxy_options: Mapping[str, object], message: str
) -> None:
    with TlsServer(echo) as server, ProxyServer(**proxy_options) as proxy:  # type: ignore[arg-type]

        async def main() -> None:
            async with client_for(server, proxy=proxy.url()) as client:
                with pytest.raises(httpx.ProxyError, match=message):
                    await client.get(server.url)

        run(main)


def test_a_wrong_password_is_refused_and_not_repeated_in_the_message() -> None:
    with TlsServer(echo) as server, ProxyServer(credentials=("user", "right")) as proxy:

        async def main() -> None:
            async with client_for(server, proxy=proxy.url(userinfo="user:wrong")) as client:
                with pytest.raises(httpx.ProxyError, match="407") as caught:
                    await client.get(server.url)
                assert "wrong" not in str(caught.value)

        run(main)


@pytest.mark.parametrize("scheme", ["http", "socks5"])
def test_a_proxy_that_is_not_there_is_a_proxy_error(scheme: str, unused_port: int) -> None:
    async def main() -> None:
        async with client_for(proxy=f"{scheme}://127.0.0.1:{unused_port}") as client:
            with pytest.raises(httpx.ProxyError, match="cannot be reached") as caught:
                await client.get("https://api.example/")
            assert isinstance(caught.value.__cause__, ConnectionRefusedError)

    run(main)


@pytest.mark.parametrize("scheme", ["http", "socks5"])
def test_a_proxy_that_hangs_up_is_a_proxy_error(scheme: str) -> None:
    async def main() -> None:
        server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server, client_for(proxy=f"{scheme}://127.0.0.1:{port}") as client:
            with pytest.raises(httpx.ProxyError, match="hung up"):
                await client.get("https://api.example/")

    run(main)


def test_a_proxy_that_says_nothing_is_a_connect_timeout() -> None:
    async def main() -> None:
        stop = asyncio.Event()

        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            writer.close()
            stop.set()

        server = await asyncio.start_server(silent, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server:
            async with client_for(proxy=f"http://127.0.0.1:{port}", timeout=httpx.Timeout(20, connect=0.1)) as client:
                with pytest.raises(httpx.ConnectTimeout):
                    await client.get("https://api.example/")
            await stop.wait()

    run(main)


def test_an_unusable_proxy_setting_is_a_proxy_error() -> None:
    async def main() -> None:
        async with client_for(proxy="gopher://p:70") as client:
            with pytest.raises(httpx.ProxyError, match="gopher"):
                await client.get("https://api.example/")

    run(main)


def test_the_environment_counts_only_for_the_system_setting() -> None:
    with TlsServer(echo, host_names=["api.example"]) as server, ProxyServer() as proxy:
        environment = {"HTTPS_PROXY": proxy.url()}

        async def main() -> None:
            async with client_for(server, proxy="system", environment=environment) as client:
                assert (await client.get(f"https://api.example:{server.port}/")).status_code == 200
                assert len(proxy.seen) == 1
            async with client_for(server, proxy="system", environment={**environment, "NO_PROXY": "*"}) as client:
                with pytest.raises(httpx.ConnectError, match="resolved"):
                    await client.get(f"https://api.example.invalid:{server.port}/")
            async with client_for(server, proxy="none", environment=environment, verify=False) as client:
                assert (await client.get(server.url)).status_code == 200
            async with client_for(server, proxy="system", environment=environment, verify=False) as client:
                assert (await client.get(server.url)).status_code == 200  # loopback
            assert len(proxy.seen) == 1

        run(main)
