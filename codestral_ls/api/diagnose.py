"""From a failed call to the one error that tells the user what to do. No I/O."""

from __future__ import annotations

import json
import math
import os
import socket
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timezone
from email.utils import parsedate_to_datetime

import httpx

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
from codestral_ls.api.wire import error_text, excerpt

MAX_RETRY_AFTER_SECONDS = 3600.0
"""A longer rest than this is not believed: a clock that is off would silence completions for days."""

_CAPACITY_TYPES = frozenset({"service_tier_capacity_exceeded", "engine_max_pending_tokens"})
_CAPACITY_CODES = frozenset({"3505", "3810"})
_TOO_LARGE_TYPES = frozenset({"model_context_exceeded", "prompt_too_long", "max_tokens_exceeded"})


@dataclass(frozen=True)
class Asked:
    """What was asked of whom, in the words of a message."""

    host: str
    model: str
    key_source: str = "the settings"

    @property
    def is_mistral(self) -> bool:
        """Whether the host is one of Mistral's own, so that its console has the mend."""
        name = self.host.partition("/")[0].partition(":")[0]
        return name == "mistral.ai" or name.endswith(".mistral.ai")


@dataclass(frozen=True)
class Clocks:
    """`monotonic` in seconds for deadlines, `wall` in seconds since the epoch for HTTP dates."""

    monotonic: Callable[[], float]
    wall: Callable[[], float]


def from_status(status: int, headers: Mapping[str, str], body: str, asked: Asked, clocks: Clocks) -> ApiError:
    """The error for an answer with an HTTP error status (forms of body: the API's own, its gateway's, HTML)."""
    parsed = _json(body)
    said = error_text(parsed) if parsed is not None else ""
    if parsed is None and body.lstrip()[:1] not in ("<", ""):
        said = excerpt(body)
    kind, code = _type_and_code(parsed)
    if status == 401:
        return BadKey(
            f"{asked.host} refuses the API key (401{_after_comma(said)}). The key comes from {asked.key_source}: "
            f"{key_mend(asked)}",
            status=status,
        )
    if status == 402 or (status == 403 and parsed is not None):
        return NotInPlan(
            f"Your plan at {asked.host} does not include {asked.model} ({status}{_after_comma(said)}): "
            f"{_plan_mend(asked)}, or set another fim_model or chat_model.",
            status=status,
        )
    if status in (403, 511):
        return NonsenseAnswer(
            f"{asked.host} answered {status} with a page instead of JSON: a proxy, firewall or login page may stand in "
            "between. Check the network, proxy and base_url.",
            status=status,
        )
    if status == 407:
        return ProxyFailed(
            f"The proxy on the way to {asked.host} asks for a user name and password (407): put them into proxy.",
            status=status,
        )
    if status == 429:
        return _from_429(headers, said, kind, code, asked, clocks)
    if status in (400, 404, 413, 422):
        return _from_refusal(status, body, said, kind, code, asked)
    if status >= 500 or status in (408, 425):
        return Overloaded(
            f"{asked.host} has trouble ({status}{_after_comma(said)}). Nothing is wrong on your side; "
            "completions resume by themselves.",
            status=status,
            retry_at=retry_at(headers, clocks),
        )
    quote = f" (“{excerpt(said)}”)" if said else ""
    return NonsenseAnswer(
        f"{asked.host} answered with status {status}{quote}, which this API does not use: check base_url and proxy.",
        status=status,
    )


def from_exception(error: Exception, asked: Asked, *, began: bool) -> ApiError:
    """The error for a call that failed below HTTP. `began`: whether the answer's headers had come."""
    if isinstance(error, httpx.ProxyError):
        hint = " and ca_file" if _cause(error, ssl.SSLError) is not None else ""
        return ProxyFailed(
            f"The proxy on the way to {asked.host} does not let us through ({_reason(error)}): check proxy{hint}."
        )
    if (certificate := _cause(error, ssl.SSLCertVerificationError)) is not None:
        reason = getattr(certificate, "verify_message", "") or "not trusted"
        return CertificateRefused(
            f"The certificate of {asked.host} is refused ({reason}): if a proxy of your organisation stands in "
            "between, give its certificate as ca_file, or check the clock of this machine."
        )
    if isinstance(error, httpx.TimeoutException):
        return TimedOut(_time_out_text(error, asked, began))
    if _cause(error, ssl.SSLError) is not None or "CA file" in str(error):
        return CertificateRefused(
            f"No TLS connection to {asked.host} ({_reason(error)}): check base_url (http or https?), proxy and ca_file."
        )
    if isinstance(error, httpx.DecodingError):
        return NonsenseAnswer(f"{asked.host} sent an answer that cannot be unpacked: check base_url and proxy.")
    if isinstance(error, (httpx.UnsupportedProtocol, httpx.InvalidURL)):
        return Unreachable(f"{asked.host} is no address that can be asked: check base_url.")
    if isinstance(error, httpx.LocalProtocolError):
        # Its text may quote a header, and the header may be the key.
        return Unreachable(
            f"The request to {asked.host} cannot be sent: check api_key and base_url for odd characters."
        )
    if began:
        return Unreachable(f"The connection to {asked.host} broke in the middle of an answer ({_reason(error)}).")
    return Unreachable(f"{asked.host} cannot be reached ({_why(error)}): check the network, base_url and proxy.")


def key_mend(asked: Asked) -> str:
    """What to do about a key that was refused."""
    if asked.is_mistral:
        return "check it at console.mistral.ai. A used-up quota gives the same answer."
    return "check api_key, and that base_url is the host it belongs to."


def http_date(value: str) -> float | None:
    """An HTTP date in seconds since the epoch; None if it is none."""
    try:
        date = parsedate_to_datetime(value)
        # The old forms name no zone; RFC 9110, section 5.6.7, reads them as UTC.
        return (date if date.tzinfo is not None else date.replace(tzinfo=timezone.utc)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def retry_at(headers: Mapping[str, str], clocks: Clocks) -> float | None:
    """When to ask again, in seconds of the monotonic clock: `retry-after-ms`, `retry-after` (seconds or date).

    None if the API names no time, or one that is past: to ask again at once is what it did not like.
    """
    seconds = None
    if (milliseconds := _number(headers.get("retry-after-ms"))) is not None:
        seconds = milliseconds / 1000
    elif (value := headers.get("retry-after")) is not None:
        seconds = _number(value)
        if seconds is None and (date := http_date(value)) is not None:
            seconds = date - clocks.wall()
    if seconds is None or seconds <= 0:
        return None
    return clocks.monotonic() + min(seconds, MAX_RETRY_AFTER_SECONDS)


def _from_429(headers: Mapping[str, str], said: str, kind: str, code: str, asked: Asked, clocks: Clocks) -> ApiError:
    if _number(headers.get("x-ratelimit-limit-req-minute")) == 0:
        return NotInPlan(
            f"Your plan at {asked.host} allows no requests to {asked.model} (its limit is 0 a minute): "
            f"{_plan_mend(asked)}.",
            status=429,
        )
    at = retry_at(headers, clocks)
    if kind in _CAPACITY_TYPES or code in _CAPACITY_CODES or "capacity" in said.lower():
        return Overloaded(
            f"{asked.host} is full at the moment (429{_after_comma(said)}). It is not your quota; "
            "completions resume by themselves.",
            status=429,
            retry_at=at,
        )
    rest = "" if at is None else f" for {max(1, round(at - clocks.monotonic()))} s"
    return RateLimited(
        f"The rate limit of your key at {asked.host} is reached (429); completions rest{rest} and resume by "
        "themselves. If it happens often, set requests_per_minute.",
        status=429,
        retry_at=at,
    )


def _from_refusal(status: int, body: str, said: str, kind: str, code: str, asked: Asked) -> ApiError:
    words = said.lower()
    quote = f" ({status}{_after_comma(said)})"
    if status == 413 or kind in _TOO_LARGE_TYPES or ("too large" in words and "context" in words):
        return RequestTooLarge(
            f"The request is too large for {asked.model}{quote}: lower prefix_chars, suffix_chars or max_tokens.",
            status=status,
        )
    if kind == "invalid_model" or code == "1500" or "fim is not enabled" in words or _names_model(words):
        return ModelUnavailable(
            f"{asked.host} cannot complete code with the model {asked.model}{quote}: set fim_model to one that can, "
            "such as codestral-latest.",
            status=status,
        )
    if status == 404 or (status == 400 and body.lstrip()[:1] == "<"):
        return RequestRefused(
            f"There is no Mistral API at {asked.host}{quote}: check base_url; it is the address without /v1.",
            status=status,
        )
    return RequestRefused(
        f"{asked.host} refuses the request{quote}: check the settings for {asked.model}; "
        "if they are right, please report it.",
        status=status,
    )


def _plan_mend(asked: Asked) -> str:
    return "activate a plan at console.mistral.ai" if asked.is_mistral else "ask whoever gave you the key"


def _names_model(words: str) -> bool:
    return words.startswith("model ") and ("not found" in words or "deprecated" in words)


def _time_out_text(error: httpx.TimeoutException, asked: Asked, began: bool) -> str:
    if isinstance(error, httpx.PoolTimeout):
        return f"Too many requests to {asked.host} are under way; this one found no connection in time."
    if isinstance(error, httpx.ConnectTimeout):
        return f"{asked.host} does not take the connection in time: check the network, base_url and proxy."
    if began:
        return f"{asked.host} fell silent in the middle of an answer."
    return f"{asked.host} did not begin to answer in time. If it is always slow, raise timeout_ms."


def _cause(error: BaseException | None, wanted: type[BaseException]) -> BaseException | None:
    for _ in range(10):
        if error is None or isinstance(error, wanted):
            return error
        error = error.__cause__ or error.__context__
    return None


def _why(error: BaseException) -> str:
    """Why there is no connection: in the system's words, where it has some, without the address said again."""
    system = _cause(error, OSError)
    if isinstance(system, socket.gaierror):
        return "its name cannot be resolved"
    if isinstance(system, OSError) and system.errno:
        return os.strerror(system.errno)
    return _reason(error)


def _reason(error: BaseException) -> str:
    return excerpt(str(error)) or type(error).__name__


def _after_comma(said: str) -> str:
    return f", “{excerpt(said)}”" if said else ""


def _json(body: str) -> object:
    try:
        parsed: object = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return parsed


def _type_and_code(parsed: object) -> tuple[str, str]:
    for _ in range(2):
        if not isinstance(parsed, dict):
            return "", ""
        if parsed.get("type") or parsed.get("code"):
            return str(parsed.get("type") or ""), str(parsed.get("code") or "")
        parsed = parsed.get("error")
    return "", ""


def _number(value: str | None) -> float | None:
    try:
        number = float(value) if value is not None else None
    except ValueError:
        return None
    return number if number is not None and math.isfinite(number) else None
