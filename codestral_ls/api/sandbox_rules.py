"""What the sandbox refuses and how, in the bodies of the real API: faults on demand, and the closed schemas."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """An answer that is an error: its status, headers and body."""

    status: int
    body: str
    headers: Mapping[str, str]

    @classmethod
    def of(cls, status: int, body: object, **headers: str) -> Fault:
        """A JSON error; header names are written with `_` for `-`."""
        text = body if isinstance(body, str) else json.dumps(body)
        kind = {"<": "text/html", "{": "application/json"}.get(text[:1], "text/plain")
        return cls(status, text, {"content-type": kind} | {k.replace("_", "-"): v for k, v in headers.items()})


def _error(status: int, message: str, kind: str, code: str | None) -> dict[str, object]:
    return {
        "object": "error",
        "message": message,
        "type": kind,
        "param": None,
        "code": code,
        "raw_status_code": status,
    }


FAULTS: Mapping[str, Fault] = {
    "sandbox-bad-key": Fault.of(401, {"detail": "Invalid API Key"}),
    "sandbox-not-in-plan": Fault.of(
        403, _error(403, "This model is not available in your subscription tier", "tier_not_allowed", "1910")
    ),
    "sandbox-unknown-model": Fault.of(
        400, _error(400, "Invalid model: sandbox-unknown-model", "invalid_model", "1500")
    ),
    "sandbox-chat-only": Fault.of(
        400, _error(400, "FIM is not enabled for this model", "invalid_request_invalid_args", "3051")
    ),
    "sandbox-too-large": Fault.of(
        400,
        _error(
            400,
            "Prompt contains 170397 tokens and 0 draft tokens, too large for model with 131072 maximum context length",
            "invalid_request_invalid_args",
            "3051",
        ),
    ),
    "sandbox-rate-limited": Fault.of(429, _error(429, "Rate limit exceeded", "rate_limited", "1300"), retry_after="20"),
    "sandbox-full": Fault.of(
        429,
        _error(429, "Service tier capacity exceeded for this model.", "service_tier_capacity_exceeded", "3505"),
    ),
    "sandbox-no-plan": Fault.of(
        429, _error(429, "Rate limit exceeded", "rate_limited", "1300"), x_ratelimit_limit_req_minute="0"
    ),
    "sandbox-bad-gateway": Fault.of(502, "Bad Gateway"),
    "sandbox-down": Fault.of(503, _error(503, "Service unavailable.", "internal_server_error", "3800")),
    "sandbox-html": Fault.of(520, "<!DOCTYPE html><title>mistral.ai | 520: Web server is returning an unknown error"),
    "sandbox-login-page": Fault.of(200, "<html><title>Sign in</title></html>"),
}

SILENT = "sandbox-silent"
"""The model that accepts a request and says nothing."""

BREAKING = "sandbox-breaks"
"""The model whose streams end in the middle with an error event."""

BREAK: Mapping[str, object] = _error(500, "Internal error", "internal_error", "3000")

GREEDY = Fault.of(400, _error(400, "top_p must be 1 when using greedy sampling.", "invalid_request_error", None))

FIM_FIELDS: Mapping[str, tuple[type, ...]] = {
    "model": (str,),
    "prompt": (str,),
    "suffix": (str,),
    "stream": (bool,),
    "max_tokens": (int,),
    "min_tokens": (int,),
    "temperature": (int, float),
    "top_p": (int, float),
    "stop": (str, list),
    "random_seed": (int,),
    "metadata": (dict,),
    "prompt_cache_key": (str,),
}
CHAT_FIELDS: Mapping[str, tuple[type, ...]] = {
    **{name: kinds for name, kinds in FIM_FIELDS.items() if name not in ("prompt", "suffix", "min_tokens")},
    "messages": (list,),
    "tools": (list,),
    "tool_choice": (str, dict),
    "parallel_tool_calls": (bool,),
    "response_format": (dict,),
    "prediction": (dict,),
    "presence_penalty": (int, float),
    "frequency_penalty": (int, float),
    "n": (int,),
}

# The least and the most that the schemas allow; `top_p` must be above its least.
_RANGES: Mapping[str, tuple[float, float]] = {
    "temperature": (0, 1.5),
    "top_p": (0, 1),
    "max_tokens": (0, float("inf")),
    "min_tokens": (0, float("inf")),
    "random_seed": (0, float("inf")),
}


def complaints(
    body: object, fields: Mapping[str, tuple[type, ...]], required: tuple[str, ...]
) -> list[dict[str, object]]:
    """What is wrong with a request's body, as the `detail` of a 422; empty if nothing is."""
    if not isinstance(body, dict):
        return [_complaint("model_attributes_type", "Input should be a valid dictionary")]
    found = [_complaint("missing", "Field required", name) for name in ("model", *required) if name not in body]
    for name, value in body.items():
        if name not in fields:
            found.append(_complaint("extra_forbidden", "Extra inputs are not permitted", name))
        elif value is None:
            if name in ("model", *required):
                found.append(_complaint("missing", "Input should not be null", name))
        elif not _is_one_of(value, fields[name]):
            found.append(_complaint("type_error", "Input has the wrong type", name))
        elif name == "stop" and not all(isinstance(stop, str) for stop in value):
            found.append(_complaint("string_type", "Input should be a valid string", name))
        elif name in _RANGES and not _in_range(name, value):
            found.append(_complaint("out_of_range", "Input is out of range", name))
    return found


def _is_one_of(value: object, kinds: tuple[type, ...]) -> bool:
    # To Python, True is an int.
    return isinstance(value, kinds) and (not isinstance(value, bool) or bool in kinds)


def _complaint(kind: str, message: str, *where: str) -> dict[str, object]:
    return {"type": kind, "loc": ["body", *where], "msg": message}


def _in_range(name: str, value: float) -> bool:
    least, most = _RANGES[name]
    return least <= value <= most and not (name == "top_p" and value == 0)
