"""Mistral's wire shapes as the scripted API speaks them: which bodies are refused and how, what answers look like.
Pure functions, no I/O. They hold what was published or recorded of the real API in 2026."""

from __future__ import annotations

import itertools
import json
import string
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

Json = Any  # whatever json.loads may give

FIM_PATH = "/v1/fim/completions"
CHAT_PATH = "/v1/chat/completions"
MODELS_PATH = "/v1/models"

FIM_MODELS = ("codestral-2508", "codestral-latest", "mistral-code-latest", "mistral-code-fim-latest")
CHAT_ONLY_MODELS = ("mistral-small-latest", "mistral-medium-latest", "mistral-large-latest")

RATE_LIMIT_HEADERS = {
    "x-ratelimit-limit-req-minute": "720",
    "x-ratelimit-remaining-req-minute": "717",
    "x-ratelimit-limit-tokens-minute": "5000000",
    "x-ratelimit-remaining-tokens-minute": "4999911",
    "x-ratelimit-tokens-query-cost": "52",
}

_CREATED = 1757437831  # a fixed moment, so that answers are equal from run to run
_CHARACTERS_PER_TOKEN = 4  # near enough to what the model's tokenizer makes of code
_PADDING = string.ascii_lowercase + string.digits

# Field name -> the pydantic types that the real API accepts there. None is accepted where it is listed.
_NUMBER = (float, int, type(None))
_COUNT = (int, type(None))
_SHARED: dict[str, tuple[type, ...]] = {
    "model": (str,),
    "temperature": _NUMBER,
    "top_p": _NUMBER,
    "max_tokens": _COUNT,
    "stop": (str, list, type(None)),
    "random_seed": _COUNT,
    "stream": (bool,),
    "metadata": (dict, type(None)),
    "prompt_cache_key": (str, type(None)),
}
_FIELDS: dict[str, dict[str, tuple[type, ...]]] = {
    FIM_PATH: {**_SHARED, "prompt": (str,), "suffix": (str, type(None)), "min_tokens": _COUNT},
    CHAT_PATH: {
        **_SHARED,
        "messages": (list,),
        "response_format": (dict, type(None)),
        "tools": (list, type(None)),
        "tool_choice": (str, dict, type(None)),
        "parallel_tool_calls": (bool,),
        "presence_penalty": _NUMBER,
        "frequency_penalty": _NUMBER,
        "n": _COUNT,
        "prediction": (dict, type(None)),
        "reasoning_effort": (str, type(None)),
        "prompt_mode": (str, type(None)),
        "guardrails": (list, type(None)),
        "service_tier": (str, type(None)),
        "safe_prompt": (bool,),
    },
}
_TYPE_NAMES: dict[type, tuple[str, str]] = {
    str: ("string_type", "string"),
    int: ("int_type", "integer"),
    float: ("float_type", "number"),
    bool: ("bool_type", "boolean"),
    list: ("list_type", "list"),
    dict: ("dict_type", "dictionary"),
}
_REQUIRED = {FIM_PATH: ("model", "prompt"), CHAT_PATH: ("model", "messages")}
_MOST = {"temperature": 1.5, "top_p": 1.0}


@dataclass(frozen=True)
class Failure:
    """An answer that is no completion: the status, the body as sent, and headers over the usual ones."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"


def failure(status: int, body: Json, **headers: str) -> Failure:
    """A failure with a JSON body; headers are given with underscores for hyphens (`retry_after="2"`)."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Failure(status, json.dumps(body).encode(), named)


def error_object(message: str, kind: str, code: str | None, status: int) -> Json:
    """The body of the API's main error shape."""
    return {
        "object": "error",
        "message": message,
        "type": kind,
        "param": None,
        "code": code,
        "raw_status_code": status,
    }


WRONG_KEY = failure(401, {"detail": "Invalid API Key"})
NOT_FOUND = failure(404, {"detail": "Not Found"})
SERVER_ERROR = failure(500, error_object("Service unavailable.", "internal_server_error", "1000", 500))
OVERLOADED = failure(
    429, error_object("Service tier capacity exceeded for this model.", "service_tier_capacity_exceeded", "3505", 429)
)
RATE_LIMITED = failure(429, error_object("Rate limit exceeded", "rate_limited", "1300", 429))
NOT_IN_PLAN = failure(
    429,
    error_object("Rate limit exceeded", "rate_limited", "1300", 429),
    x_ratelimit_limit_req_minute="0",
)
HTML_PAGE = Failure(
    520,
    b"<!DOCTYPE html>\n<title>mistral.ai | 520: Web server is returning an unknown error</title>\n",
    content_type="text/html; charset=UTF-8",
)


def refusal(path: str, body: Json) -> Failure | None:
    """What the API says to a body that breaks its schema or its rules; None for a body that it takes."""
    if not isinstance(body, dict):
        return _unprocessable("model_attributes_type", [], "Input should be a valid dictionary", body)
    fields = _FIELDS[path]
    for name in _REQUIRED[path]:
        if name not in body:
            return _unprocessable("missing", [name], "Field required", body)
    for name, value in body.items():
        if name not in fields:
            return _unprocessable("extra_forbidden", [name], "Extra inputs are not permitted", value)
        # bool is an int to Python, not to the API.
        if not isinstance(value, fields[name]) or (isinstance(value, bool) and bool not in fields[name]):
            kind, noun = _TYPE_NAMES[fields[name][0]]
            return _unprocessable(kind, [name], f"Input should be a valid {noun}", value)
        if isinstance(value, (int, float)) and value > (most := _MOST.get(name, value)):
            return _unprocessable("less_than_equal", [name], f"Input should be less than or equal to {most}", value)
    return _rule_broken(path, body)


def answer_body(model: str, prompt: str, text: str, finish_reason: str) -> Json:
    """A whole answer, as given to a request without `stream`."""
    message = {"role": "assistant", "tool_calls": None, "content": text}
    return {
        "id": uuid.uuid4().hex,
        "created": _CREATED,
        "model": model,
        "usage": _usage(prompt, text),
        "object": "chat.completion",
        "choices": [{"index": 0, "finish_reason": finish_reason, "message": message}],
    }


def stream_events(model: str, prompt: str, pieces: list[str], finish_reason: str) -> Iterator[bytes]:
    """The events of a streamed answer: role, one per piece, `[DONE]`. Reason and usage come with the last piece."""
    identity = uuid.uuid4().hex
    text = "".join(pieces)
    yield _event(_chunk(identity, model, {"role": "assistant", "content": ""}, None))
    for number, piece in enumerate(pieces or [""], 1):
        last = number >= len(pieces)
        chunk = _chunk(identity, model, {"content": piece}, finish_reason if last else None)
        if last:
            chunk["usage"] = _usage(prompt, text)
        # Padding against guessing the text from packet sizes: a prefix of the alphabet, of varying length.
        chunk["p"] = _PADDING[: 1 + (number * 7) % len(_PADDING)]
        yield _event(chunk)
    yield b"data: [DONE]\n\n"


def endless_events(model: str, pieces: list[str]) -> Iterator[bytes]:
    """A stream that heeds no `stop` and no `max_tokens` and never finishes: the pieces, over and over."""
    identity = uuid.uuid4().hex
    yield _event(_chunk(identity, model, {"role": "assistant", "content": ""}, None))
    for piece in itertools.cycle(pieces):
        yield _event(_chunk(identity, model, {"content": piece}, None))


def model_list() -> Json:
    """The answer to `GET /v1/models`: every alias is an entry of its own."""
    names = [(name, True) for name in FIM_MODELS] + [(name, False) for name in CHAT_ONLY_MODELS]
    return {"object": "list", "data": [_model_card(name, fim=fim) for name, fim in names]}


def cut(text: str, body: Mapping[str, Json]) -> tuple[str, str]:
    """The text as `stop` and `max_tokens` leave it, and the reason why it ended."""
    stop = body.get("stop") or []
    ends = [text.find(word) for word in ([stop] if isinstance(stop, str) else stop)]
    if found := [end for end in ends if end >= 0]:
        text = text[: min(found)]
    limit = body.get("max_tokens")
    if limit is not None and len(text) > limit * _CHARACTERS_PER_TOKEN:
        return text[: limit * _CHARACTERS_PER_TOKEN], "length"
    return text, "stop"


def _rule_broken(path: str, body: Mapping[str, Json]) -> Failure | None:
    model = body["model"]
    if model not in FIM_MODELS + CHAT_ONLY_MODELS:
        return failure(400, error_object(f"Invalid model: {model}", "invalid_model", "1500", 400))
    arguments = "invalid_request_invalid_args"
    if path == FIM_PATH and model not in FIM_MODELS:
        return failure(400, error_object("FIM is not enabled for this model", arguments, "3051", 400))
    if body.get("temperature") == 0 and body.get("top_p") not in (None, 1):
        message = "top_p must be 1 when using greedy sampling."
        return failure(400, error_object(message, arguments, "3051", 400))
    if path == CHAT_PATH and body["messages"]:
        last = body["messages"][-1]
        if last.get("role") not in ("user", "tool") and not last.get("prefix"):
            message = (
                "Expected last role User or Tool (or Assistant with prefix True) for serving but got "
                f"{last.get('role')}"
            )
            return failure(400, error_object(message, "invalid_request_message_order", "3230", 400))
    return None


def _unprocessable(kind: str, where: list[str], message: str, value: Json) -> Failure:
    return failure(422, {"detail": [{"type": kind, "loc": ["body", *where], "msg": message, "input": value}]})


def _usage(prompt: str, text: str) -> Json:
    asked, answered = (-(-len(part) // _CHARACTERS_PER_TOKEN) for part in (prompt, text))
    return {
        "prompt_tokens": asked,
        "total_tokens": asked + answered,
        "completion_tokens": answered,
        "prompt_tokens_details": {"cached_tokens": 0},
        "service_tier": "standard",
    }


def _chunk(identity: str, model: str, delta: Json, finish_reason: str | None) -> dict[str, Json]:
    return {
        "id": identity,
        "object": "chat.completion.chunk",
        "created": _CREATED,
        "model": model,
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}],
    }


def _event(chunk: Json) -> bytes:
    return b"data: " + json.dumps(chunk, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"


def _model_card(name: str, *, fim: bool) -> Json:
    return {
        "id": name,
        "object": "model",
        "created": 0,
        "owned_by": "mistralai",
        "capabilities": {"completion_chat": True, "function_calling": True, "completion_fim": fim},
        "name": name,
        "description": "",
        "max_context_length": 256000,
        "aliases": [alias for alias in FIM_MODELS if fim and alias != name],
        "deprecation": None,
        "deprecation_replacement_model": None,
        "default_model_temperature": 0.3,
        "type": "base",
    }
