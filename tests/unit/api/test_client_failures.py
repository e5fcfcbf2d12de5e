"""Calls that fail below HTTP: each ends in one error of ours, and with everything closed."""

from __future__ import annotations

import ssl
from typing import Any

import httpx
import pytest
from api_fakes import MISTRAL, REQUEST, TIMEOUTS, ask, assert_no_key, client, failure_of, hosts, response, run, stream

from codestral_ls.api.client import Timeouts
from codestral_ls.api.errors import (
    ApiError,
    CertificateRefused,
    NoKey,
    ProxyFailed,
    TimedOut,
    Unreachable,
)
from codestral_ls.api.transport import NetworkOptions, Transport


def from_os(error: Exception, cause: OSError) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (httpx.ConnectTimeout("x"), TimedOut),
        (httpx.ReadTimeout("x"), TimedOut),
        (httpx.WriteTimeout("x"), TimedOut),
        (httpx.PoolTimeout("x"), TimedOut),
        (from_os(httpx.ConnectError("x"), ConnectionRefusedError()), Unreachable),
        (from_os(httpx.ConnectError("x"), ssl.SSLCertVerificationError(1, "x")), CertificateRefused),
        (httpx.ProxyError("x"), ProxyFailed),
        (httpx.RemoteProtocolError("x"), Unreachable),
        (httpx.ReadError("x"), Unreachable),
        (httpx.WriteError("x"), Unreachable),
        (httpx.LocalProtocolError("Illegal header value b'Bearer x'"), Unreachable),
        (httpx.UnsupportedProtocol("x"), Unreachable),
        (httpx.InvalidURL("x"), Unreachable),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_a_call_that_gets_no_answer(failure: Exception, kind: type[ApiError]) -> None:
    error, before = failure_of(failure)
    assert type(error) is kind
    assert error.__cause__ is failure
    assert before == []
    assert "Bearer" not in str(error)


@pytest.mark.parametrize("base", ["https://[::1", "ftp://example.com", "https://", "https://xn--\u00e9.example:99999"])
def test_an_address_that_is_none(base: str) -> None:
    network = NetworkOptions(proxy="none", environment={})

    async def main() -> None:
        transport = Transport(network=network)
        try:
            asking = client(transport, bases=[base])
            await asking.warm()
            with pytest.raises(Unreachable, match="check base_url"):
                await ask(asking)
        finally:
            await transport.aclose()

    run(main)


@pytest.mark.parametrize("ca_file", ["/does/not/exist.pem", __file__])
def test_a_ca_file_that_cannot_be_used(ca_file: str) -> None:
    async def main() -> None:
        transport = Transport(network=NetworkOptions(proxy="none", environment={}, ca_file=ca_file))
        try:
            with pytest.raises(CertificateRefused) as caught:
                await ask(client(transport, bases=["https://localhost:1"]))
            assert ca_file in str(caught.value)
            assert "ca_file" in str(caught.value).replace(ca_file, "")
        finally:
            await transport.aclose()

    run(main)


def test_a_port_that_nobody_listens_on() -> None:
    async def main() -> None:
        transport = Transport(network=NetworkOptions(proxy="none", environment={}))
        try:
            with pytest.raises(Unreachable, match=r"127\.0\.0\.1:1 cannot be reached"):
                await ask(client(transport, bases=["http://127.0.0.1:1"]))
        finally:
            await transport.aclose()

    run(main)


def test_the_limits_go_to_the_transport() -> None:
    transport = hosts(httpx.ReadTimeout("x"), response(200, {"data": []}))

    async def main() -> None:
        asking = client(transport)
        with pytest.raises(TimedOut):
            _ = [chunk async for chunk in asking.fim(REQUEST, Timeouts(connect=1, read=2))]
        await asking.models(Timeouts(connect=3, read=4))

    run(main)
    assert [sent.timeout for sent in transport.sent] == [
        {"connect": 1, "pool": 1, "write": 2, "read": 2},
        {"connect": 3, "pool": 3, "write": 4, "read": 4},
    ]


def test_a_failure_says_nothing_of_the_request() -> None:
    for failure in (httpx.ReadTimeout("x"), response(500, "x"), stream(b"data: x\n\n")):
        error, _ = failure_of(failure)
        for secret in (REQUEST.prompt, REQUEST.suffix):
            assert secret not in str(error).replace("before its", "")


def test_after_a_failure_the_next_call_goes_out() -> None:
    answers: list[Any] = [httpx.ConnectError("x"), response(503, {}), response(200, {"choices": [{"text": "x"}]})]
    transport = hosts(*answers)

    async def main() -> None:
        asking = client(transport)
        for kind in (Unreachable, ApiError):
            with pytest.raises(kind):
                await ask(asking)
        assert [chunk.text for chunk in await ask(asking)] == ["x"]

    run(main)
    assert [sent.host for sent in transport.sent] == [MISTRAL] * 3


def test_a_failure_of_the_key_is_raised_when_the_answer_is_asked_for() -> None:
    from api_fakes import FakeKeys

    async def main() -> None:
        answer = client(hosts(), FakeKeys(None)).fim(REQUEST, TIMEOUTS)
        with pytest.raises(NoKey) as caught:
            await anext(answer)
        assert_no_key(caught.value)

    run(main)
