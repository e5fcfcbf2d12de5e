"""From a failed call to the one error that tells the user what to do: tables of what the API and networks say."""

from __future__ import annotations

import errno
import json
import socket
import ssl
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codestral_ls.api.diagnose import (
    MAX_RETRY_AFTER_SECONDS,
    Asked,
    Clocks,
    from_exception,
    from_status,
    http_date,
    retry_at,
)
from codestral_ls.api.errors import (
    ApiError,
    BadKey,
    CertificateRefused,
    ModelUnavailable,
    NonsenseAnswer,
    NotInPlan,
    Overloaded,
    ProxyFailed,
    RateLimited,
    RequestRefused,
    RequestTooLarge,
    TimedOut,
    Unreachable,
)

ASKED = Asked("api.mistral.ai", "some-model", "the environment")
NOW, WALL = 1000.0, 1445412480.0  # Wed, 21 Oct 2015 07:28:00 GMT
CLOCKS = Clocks(lambda: NOW, lambda: WALL)


def error(message: Any, kind: str | None, code: Any = None, **more: Any) -> dict[str, Any]:
    return {"object": "error", "message": message, "type": kind, "param": None, "code": code, **more}


def diagnosed(status: int, body: Any, headers: dict[str, str] | None = None, asked: Asked = ASKED) -> ApiError:
    text = body if isinstance(body, str) else json.dumps(body)
    return from_status(status, httpx.Headers(headers or {}), text, asked, CLOCKS)


TOO_LARGE = "Prompt contains 170397 tokens and 0 draft tokens, too large for model with 131072 maximum context length"
EXTRA = {
    "detail": [
        {"type": "extra_forbidden", "loc": ["body", "store"], "msg": "Extra inputs are not permitted", "input": 0}
    ]
}
HTML_520 = "<!DOCTYPE html> <!--[if lt IE 7]> <html> <title>mistral.ai | 520: Web server is returning an unknown error"

# Each body that was recorded of the API or of a gateway before it: what it is, and words of the mend.
STATUSES: list[tuple[int, Any, type[ApiError], str]] = [
    (400, error("Invalid model: X", "invalid_model", "1500", raw_status_code=400), ModelUnavailable, "set fim_model"),
    (
        400,
        error("FIM is not enabled for this model", "invalid_request_invalid_args", "3051"),
        ModelUnavailable,
        "set fim_model",
    ),
    (400, error(TOO_LARGE, "invalid_request_invalid_args", "3051"), RequestTooLarge, "lower prefix_chars"),
    (400, error(TOO_LARGE, "invalid_request_error"), RequestTooLarge, "lower prefix_chars"),
    (400, error("top_p must be 1 when using greedy sampling.", "invalid_request_error"), RequestRefused, "settings"),
    (
        400,
        error("Unexpected role 'user' after role 'tool'", "invalid_request_message_order", "3230"),
        RequestRefused,
        "report",
    ),
    (400, error("Tool call id was X but must be", "invalid_function_call", "3280"), RequestRefused, "report"),
    (400, error("Too many inputs in request, split", "invalid_request_prompt", "3210"), RequestRefused, "report"),
    (400, "<html>400 The plain HTTP request was sent to HTTPS port", RequestRefused, "check base_url"),
    (400, "", RequestRefused, "settings"),
    (401, {"detail": "Invalid API Key"}, BadKey, "console.mistral.ai"),
    (401, {"detail": "Unauthorized"}, BadKey, "used-up quota"),
    (401, {"message": "Unauthorized", "request_id": "ab" * 16}, BadKey, "console.mistral.ai"),
    (401, "", BadKey, "comes from the environment"),
    (401, "<html>", BadKey, "console.mistral.ai"),
    (402, {"detail": "Payment Required"}, NotInPlan, "activate a plan"),
    (402, "", NotInPlan, "activate a plan"),
    (
        403,
        error("This model is not available in your subscription tier", "tier_not_allowed", "1910", raw_status_code=403),
        NotInPlan,
        "activate a plan",
    ),
    (403, error("Labs models are not enabled", "labs_not_enabled"), NotInPlan, "set another"),
    (403, {"detail": "Forbidden"}, NotInPlan, "set another"),
    (403, "<html>Access denied by your organisation</html>", NonsenseAnswer, "proxy"),
    (403, "error code: 1020", NonsenseAnswer, "firewall"),
    (404, {"detail": "Not Found"}, RequestRefused, "check base_url"),
    (404, {"message": "no Route matched with those values", "request_id": "ab"}, RequestRefused, "without /v1"),
    (404, {"message": "Model devstral-medium-latest is deprecated."}, ModelUnavailable, "set fim_model"),
    (404, {"message": "Model pixtral-large-latest was not found."}, ModelUnavailable, "set fim_model"),
    (404, "<html>404</html>", RequestRefused, "check base_url"),
    (405, {"detail": "Method Not Allowed"}, NonsenseAnswer, "check base_url"),
    (407, "", ProxyFailed, "user name and password"),
    (408, "", Overloaded, "by themselves"),
    (413, "<html>413 Request Entity Too Large</html>", RequestTooLarge, "lower prefix_chars"),
    (422, EXTRA, RequestRefused, "store: Extra inputs are not permitted"),
    (
        422,
        {"detail": [{"type": "missing", "loc": ["body", "messages"], "msg": "Field required"}]},
        RequestRefused,
        "report",
    ),
    (422, error(EXTRA, "invalid_request_error"), RequestRefused, "store: Extra inputs"),
    (
        422,
        {"object": "Error", "detail": [], "message": [{"msg": "Field required"}], "type": "x", "code": 3001},
        RequestRefused,
        "Field required",
    ),
    (422, error(json.dumps(EXTRA), "internal_error_proxy", "1000"), RequestRefused, "store: Extra inputs"),
    (422, {"error": {"type": "model_context_exceeded"}}, RequestTooLarge, "lower prefix_chars"),
    (422, {"error": {"type": "prompt_too_long"}}, RequestTooLarge, "lower prefix_chars"),
    (422, {"error": {"type": "max_tokens_exceeded"}}, RequestTooLarge, "max_tokens"),
    (
        429,
        error("Rate limit exceeded", "rate_limited", "1300", raw_status_code=429),
        RateLimited,
        "requests_per_minute",
    ),
    (429, {"message": "Requests rate limit exceeded"}, RateLimited, "requests_per_minute"),
    (429, "", RateLimited, "requests_per_minute"),
    (
        429,
        error("Service tier capacity exceeded for this model.", "service_tier_capacity_exceeded", "3505"),
        Overloaded,
        "not your quota",
    ),
    (
        429,
        error("Service tier capacity exceeded for this model.", "invalid_request_error"),
        Overloaded,
        "not your quota",
    ),
    (
        429,
        error("Capacity exceeded for this model.", "engine_max_pending_tokens", "3810"),
        Overloaded,
        "not your quota",
    ),
    (500, error("Service unavailable.", "internal_server_error", "1000"), Overloaded, "by themselves"),
    (500, {"detail": "Internal Server Error"}, Overloaded, "by themselves"),
    (502, "Bad Gateway", Overloaded, "“Bad Gateway”"),
    (
        503,
        error("Service unavailable.", "internal_server_error", "3800", raw_status_code=503),
        Overloaded,
        "by themselves",
    ),
    (503, error("no upstream", "unreachable_backend", "1100"), Overloaded, "by themselves"),
    (504, "<html>Gateway Time-out</html>", Overloaded, "by themselves"),
    (511, "<html>Sign in to this network</html>", NonsenseAnswer, "login page"),
    (520, HTML_520, Overloaded, "by themselves"),
    (529, HTML_520, Overloaded, "by themselves"),
    (204, "", NonsenseAnswer, "check base_url"),
    (301, "", NonsenseAnswer, "check base_url"),
    (418, "teapot", NonsenseAnswer, "(“teapot”)"),
]


@pytest.mark.parametrize(("status", "body", "kind", "mend"), STATUSES, ids=lambda value: str(value)[:40])
def test_each_answer_has_its_error_with_the_mend(status: int, body: Any, kind: type[ApiError], mend: str) -> None:
    found = diagnosed(status, body)
    assert type(found) is kind
    assert found.status == status
    message = str(found)
    assert mend in message
    assert len(message) < 420
    assert "<" not in message
    assert message.endswith(".")
    assert "api.mistral.ai" in message or "some-model" in message
    assert str(status) in message or status in (413, 422, 429)


@pytest.mark.parametrize(
    ("asked", "word"),
    [
        (Asked("api.mistral.ai", "m"), True),
        (Asked("codestral.mistral.ai:443/x", "m"), True),
        (Asked("localhost:8080", "m"), False),
        (Asked("mistral.ai.example.com", "m"), False),
        (Asked("evilmistral.ai", "m"), False),
        (Asked("example.com/api.mistral.ai", "m"), False),
    ],
)
@pytest.mark.parametrize(
    ("status", "headers"), [(401, {}), (402, {}), (429, {"x-ratelimit-limit-req-minute": "0"})], ids=str
)
def test_the_console_is_named_for_mistrals_hosts_only(
    asked: Asked, word: bool, status: int, headers: dict[str, str]
) -> None:
    assert ("console.mistral.ai" in str(diagnosed(status, {}, headers, asked))) is word


@pytest.mark.parametrize(
    ("limit", "kind"),
    [
        ("0", NotInPlan),
        (" 0 ", NotInPlan),
        ("00", NotInPlan),
        ("4", RateLimited),
        ("", RateLimited),
        ("x", RateLimited),
    ],
)
def test_a_limit_of_no_requests_is_the_plan_and_not_the_pace(limit: str, kind: type[ApiError]) -> None:
    body = error("Rate limit exceeded", "rate_limited", "1300")
    found = diagnosed(429, body, {"X-RateLimit-Limit-Req-Minute": limit, "retry-after": "5"})
    assert type(found) is kind
    assert found.transient is (kind is RateLimited)
    assert found.retry_at == (None if kind is NotInPlan else NOW + 5)


@pytest.mark.parametrize(
    "body", ["", "{", "<html>", "[" * 100_000, '{"message":' * 100_000, "\x00", "null", "5", "[]", '"x"']
)
@pytest.mark.parametrize("status", [100, 200, 302, 400, 401, 403, 404, 409, 422, 429, 500, 599])
def test_no_body_is_too_odd(status: int, body: str) -> None:
    found = diagnosed(status, body)
    assert found.status == status
    assert "\n" not in str(found)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "20"}, 20),
        ({"Retry-After": " 20 "}, 20),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "0"}, None),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "1e400"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "99999999999999999999"}, MAX_RETRY_AFTER_SECONDS),
        ({"retry-after": "3601"}, MAX_RETRY_AFTER_SECONDS),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:30 GMT"}, 30),
        ({"retry-after": "Wed Oct 21 07:28:30 2015"}, 30),
        ({"retry-after": "Wednesday, 21-Oct-15 07:28:30 GMT"}, 30),
        ({"retry-after": "Wed, 21 Oct 2015 07:27:30 GMT"}, None),
        ({"retry-after": "Wed, 21 Oct 2099 07:28:00 GMT"}, MAX_RETRY_AFTER_SECONDS),
        ({"retry-after": "Wed, 99 Oct 2015 07:28:00 GMT"}, None),
        ({"retry-after": "Wed, 21 Oct 99999 07:28:00 GMT"}, None),
        ({"retry-after-ms": "1500"}, 1.5),
        ({"retry-after-ms": "1500", "retry-after": "20"}, 1.5),
        ({"retry-after-ms": "x", "retry-after": "20"}, 20),
    ],
    ids=str,
)
def test_when_to_ask_again(headers: dict[str, str], seconds: float | None) -> None:
    at = retry_at(httpx.Headers(headers), CLOCKS)
    assert at == (None if seconds is None else pytest.approx(NOW + seconds))


@pytest.mark.parametrize(("retry_after", "words"), [("20", "rest for 20 s"), ("0.2", "rest for 1 s"), ("", "rest and")])
def test_a_rate_limit_says_how_long_completions_rest(retry_after: str, words: str) -> None:
    assert words in str(diagnosed(429, "", {"retry-after": retry_after}))


def test_an_overload_may_name_its_end() -> None:
    assert diagnosed(503, "", {"retry-after": "7"}).retry_at == NOW + 7
    assert diagnosed(429, error("x", None, "3505"), {"retry-after": "7"}).retry_at == NOW + 7
    assert diagnosed(500, "").retry_at is None


@given(st.text(st.characters(max_codepoint=255), max_size=40))
def test_no_header_fails(value: str) -> None:
    at = retry_at({"retry-after": value}, CLOCKS)
    assert at is None or NOW < at <= NOW + MAX_RETRY_AFTER_SECONDS
    date = http_date(value)
    assert date is None or isinstance(date, float)


@given(
    st.integers(0, 99),
    st.integers(0, 999_999),
    st.integers(-9, 99),
    st.sampled_from(["GMT", "-0000", "+9999", "", "X"]),
)
def test_no_date_fails(day: int, year: int, hour: int, zone: str) -> None:
    date = http_date(f"Wed, {day} Oct {year} {hour}:28:00 {zone}")
    assert date is None or isinstance(date, float)


# Failures below HTTP.


def caused(error: Exception, cause: BaseException) -> Exception:
    error.__cause__ = cause
    return error


def certificate(reason: str) -> ssl.SSLCertVerificationError:
    found = ssl.SSLCertVerificationError(1, f"certificate verify failed: {reason}")
    found.verify_message = reason
    return found


EXPIRED = certificate("certificate has expired")
WRONG_VERSION = ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number")

EXCEPTIONS: list[tuple[Exception, bool, type[ApiError], str]] = [
    (httpx.ConnectTimeout("x"), False, TimedOut, "does not take the connection in time: check the network"),
    (httpx.PoolTimeout("x"), False, TimedOut, "no connection in time"),
    (httpx.ReadTimeout("x"), False, TimedOut, "raise timeout_ms"),
    (httpx.WriteTimeout("x"), False, TimedOut, "raise timeout_ms"),
    (httpx.ReadTimeout("x"), True, TimedOut, "fell silent in the middle"),
    (
        caused(httpx.ConnectError("refused"), ConnectionRefusedError()),
        False,
        Unreachable,
        "check the network, base_url",
    ),
    (
        caused(httpx.ConnectError("http://x:1 cannot be reached"), OSError(errno.ECONNREFUSED, "Connect call failed")),
        False,
        Unreachable,
        "(Connection refused)",
    ),
    (
        caused(httpx.ConnectError("no such name"), socket.gaierror(-2, "x")),
        False,
        Unreachable,
        "(its name cannot be resolved)",
    ),
    (httpx.ConnectError(""), False, Unreachable, "(ConnectError)"),
    (httpx.RemoteProtocolError("closed without answering"), False, Unreachable, "cannot be reached"),
    (httpx.RemoteProtocolError("closed"), True, Unreachable, "broke in the middle of an answer"),
    (httpx.ReadError("reset"), True, Unreachable, "broke in the middle of an answer (reset)"),
    (httpx.WriteError("reset"), False, Unreachable, "cannot be reached"),
    (caused(httpx.ConnectError("x"), EXPIRED), False, CertificateRefused, "(certificate has expired)"),
    (caused(httpx.ConnectError("x"), caused(OSError(), EXPIRED)), False, CertificateRefused, "check the clock"),
    (caused(httpx.ConnectError("x"), certificate("")), False, CertificateRefused, "give its certificate as ca_file"),
    (caused(httpx.ConnectError("TLS failed"), WRONG_VERSION), False, CertificateRefused, "http or https?"),
    (
        caused(httpx.ConnectError("the CA file /x cannot be used: gone"), FileNotFoundError()),
        False,
        CertificateRefused,
        "(the CA file /x cannot be used: gone)",
    ),
    (httpx.ProxyError("it answered 407"), False, ProxyFailed, "(it answered 407): check proxy."),
    (caused(httpx.ProxyError("x"), ConnectionRefusedError()), False, ProxyFailed, "check proxy."),
    (caused(httpx.ProxyError("x"), EXPIRED), False, ProxyFailed, "check proxy and ca_file."),
    (httpx.UnsupportedProtocol("x"), False, Unreachable, "check base_url."),
    (httpx.InvalidURL("x"), False, Unreachable, "check base_url."),
    (httpx.LocalProtocolError("Illegal header value b'Bearer SECRET'"), False, Unreachable, "odd characters"),
    (httpx.DecodingError("x"), True, NonsenseAnswer, "cannot be unpacked"),
]


@pytest.mark.parametrize(("failure", "began", "kind", "words"), EXCEPTIONS, ids=lambda value: str(value)[:40])
def test_each_failure_of_a_connection_has_its_error(
    failure: Exception, began: bool, kind: type[ApiError], words: str
) -> None:
    found = from_exception(failure, ASKED, began=began)
    assert type(found) is kind
    assert words in str(found)
    assert "api.mistral.ai" in str(found)
    assert "SECRET" not in str(found)
    assert found.status is None


def test_a_chain_of_causes_that_bites_its_tail() -> None:
    first, second = httpx.ConnectError("a"), OSError("b")
    first.__cause__, second.__cause__ = second, first
    assert type(from_exception(first, ASKED, began=False)) is Unreachable


def test_what_comes_back_by_itself_is_told_from_what_does_not() -> None:
    transient = {kind for *_, kind, _ in STATUSES + EXCEPTIONS if kind.transient}  # type: ignore[operator]
    assert transient == {RateLimited, Overloaded, TimedOut, Unreachable}


def test_every_kind_has_its_own_name() -> None:
    def family(kind: type[ApiError]) -> list[type[ApiError]]:
        return [kind, *(below for child in kind.__subclasses__() for below in family(child))]

    names = [kind.kind for kind in family(ApiError)]
    assert len(set(names)) == len(names)
