"""The API inside the process, behind the transport seam: no network, no port, no key.

It continues the text that it is given with what most likely follows (the longest match in the file itself, or in
the bundled sample), in the wire forms of the real API: streams at a realistic pace, usage, 422 for unknown
fields, and each error of the API on demand, by the model names in `FAULTS`. Every answer names the model `sandbox`.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

import httpx

SANDBOX_URL = "sandbox:"
NOTICE = "Answers come from the built-in sandbox, not from Codestral."

FIRST_TOKEN_SECONDS = 0.18
TOKEN_SECONDS = 0.008
"""The pace of Codestral as users see it on a good day: 180 ms to the first token, then about 125 tokens a second."""

LONGEST_MATCH, SHORTEST_MATCH = 64, 4
"""How many characters before the cursor are looked for elsewhere in the text."""

MOST_LINES = 2
"""How much is suggested at once: what a person takes in at a glance."""

_TOKEN = re.compile(r"\s*\w{1,6}|\s*[^\w\s]|\s+")
_WORD_END = re.compile(r"\w+$")


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
        kind = "text/html" if text.startswith("<") else "application/json"
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
    "sandbox-down": Fault.of(503, _error(503, "Service unavailable.", "internal_server_error", "3800")),
    "sandbox-html": Fault.of(520, "<!DOCTYPE html><title>mistral.ai | 520: Web server is returning an unknown error"),
    "sandbox-login-page": Fault.of(200, "<html><title>Sign in</title></html>"),
}

_FIM_FIELDS: Mapping[str, tuple[type, ...]] = {
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
_CHAT_FIELDS: Mapping[str, tuple[type, ...]] = {
    **{name: kinds for name, kinds in _FIM_FIELDS.items() if name not in ("prompt", "suffix", "min_tokens")},
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


class SandboxTransport(httpx.AsyncBaseTransport):
    """Answers requests for `/v1/fim/completions`, `/v1/chat/completions` and `/v1/models` of any host.

    `first_token` and `token` are seconds, slept with `sleep`.
    """

    def __init__(
        self,
        *,
        first_token: float = FIRST_TOKEN_SECONDS,
        token: float = TOKEN_SECONDS,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._first_token = first_token
        self._token = token
        self._sleep = sleep
        self._sample: str | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if request.method == "GET" and path == "/v1/models":
            return _json_response(200, _models())
        if request.method != "POST" or path not in ("/v1/fim/completions", "/v1/chat/completions"):
            return _json_response(404, {"detail": "Not Found"})
        try:
            body = json.loads(await request.aread())
        except ValueError:
            return _json_response(
                422, {"detail": [{"type": "json_invalid", "loc": ["body"], "msg": "JSON decode error"}]}
            )
        fim = path == "/v1/fim/completions"
        if complaints := _complaints(body, _FIM_FIELDS if fim else _CHAT_FIELDS, ("prompt",) if fim else ("messages",)):
            return _json_response(422, {"detail": complaints})
        if fault := FAULTS.get(body["model"]):
            return httpx.Response(fault.status, headers=dict(fault.headers), content=fault.body)
        if body["model"] == "sandbox-silent":
            await self._sleep(3600)
        answer = (
            continuation(body["prompt"], body.get("suffix") or "", self._script())
            if fim
            else f"{NOTICE} It does not chat; set an API key to ask Codestral."
        )
        text, reason = _decode(answer, body)
        tokens = _TOKEN.findall(text)
        usage = _usage(json.dumps(body), len(tokens))
        if not body.get("stream"):
            await self._sleep(self._first_token + self._token * len(tokens))
            message = {"role": "assistant", "tool_calls": None, "content": text}
            return _json_response(200, _envelope("chat.completion", message, "message", reason, usage))
        return httpx.Response(
            200,
            headers={"content-type": "text/event-stream; charset=utf-8"},
            stream=_Events(self._events(tokens, reason, usage)),
        )

    async def _events(self, tokens: list[str], reason: str, usage: object) -> AsyncIterator[bytes]:
        yield _event(_envelope("chat.completion.chunk", {"role": "assistant", "content": ""}, "delta", None, None))
        await self._sleep(self._first_token)
        for index, token in enumerate(tokens or [""]):
            last = index >= len(tokens) - 1
            chunk = _envelope(
                "chat.completion.chunk",
                {"content": token},
                "delta",
                reason if last else None,
                usage if last else None,
            )
            yield _event(chunk)
            await self._sleep(self._token)
        yield b"data: [DONE]\n\n"

    def _script(self) -> str:
        if self._sample is None:
            self._sample = sample_text()
        return self._sample


class _Events(httpx.AsyncByteStream):
    def __init__(self, events: AsyncIterator[bytes]) -> None:
        self._events = events

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._events


def sample_text() -> str:
    """The text of the bundled sample."""
    return resources.files("codestral_ls.samples").joinpath("inventory.py").read_text("utf-8")


def continuation(prompt: str, suffix: str, script: str = "") -> str:
    """What most likely stands between `prompt` and `suffix`, from similar places in `script` and in the text itself.

    The longest run of characters before the cursor that also stands elsewhere is continued as it was there, to the
    end of its paragraph. Empty if nothing similar is found.
    """
    for length in range(min(LONGEST_MATCH, len(prompt)), SHORTEST_MATCH - 1, -1):
        tail = prompt[-length:]
        if len(tail.strip()) < SHORTEST_MATCH:
            break
        for source in (script, suffix, prompt[:-1]):
            at = source.rfind(tail)
            if at >= 0 and (found := _paragraph(source[at + length :], prompt)):
                return found
    return _rest_of_word(prompt, suffix)


def _paragraph(text: str, prompt: str) -> str:
    lines = text.split("\n", MOST_LINES)[:MOST_LINES]
    kept = lines[:1]
    current = prompt.rsplit("\n", 1)[-1]
    indentation = len(current) - len(current.lstrip())
    for line in lines[1:]:
        if not line.strip() or len(line) - len(line.lstrip()) < indentation:
            break
        kept.append(line)
    return "\n".join(kept).rstrip()


def _rest_of_word(prompt: str, suffix: str) -> str:
    match = _WORD_END.search(prompt[-LONGEST_MATCH:])
    if not match:
        return ""
    stem = match[0]
    words = re.findall(rf"\b{re.escape(stem)}(\w+)", prompt[: -len(stem)] + "\n" + suffix)
    return max(set(words), key=lambda word: (words.count(word), word)) if words else ""


def _decode(answer: str, body: Mapping[str, Any]) -> tuple[str, str]:
    stops = body.get("stop") or []
    for stop in [stops] if isinstance(stops, str) else stops:
        answer = answer.split(stop, 1)[0] if stop else answer
    tokens = _TOKEN.findall(answer)
    limit = body.get("max_tokens")
    if limit is not None and len(tokens) > limit:
        return "".join(tokens[:limit]), "length"
    return answer, "stop"


def _complaints(
    body: object, fields: Mapping[str, tuple[type, ...]], required: tuple[str, ...]
) -> list[dict[str, object]]:
    if not isinstance(body, dict):
        return [{"type": "model_attributes_type", "loc": ["body"], "msg": "Input should be a valid dictionary"}]
    complaints: list[dict[str, object]] = [
        {"type": "missing", "loc": ["body", name], "msg": "Field required"}
        for name in ("model", *required)
        if name not in body
    ]
    for name, value in body.items():
        where = ["body", name]
        if name not in fields:
            complaints.append({"type": "extra_forbidden", "loc": where, "msg": "Extra inputs are not permitted"})
        elif value is None and name in ("model", *required):
            complaints.append({"type": "missing", "loc": where, "msg": "Input should not be null"})
        elif value is not None and (
            not isinstance(value, fields[name]) or (isinstance(value, bool) and bool not in fields[name])
        ):
            complaints.append({"type": "type_error", "loc": where, "msg": "Input has the wrong type"})
    return complaints


def _models() -> dict[str, object]:
    card = {
        "object": "model",
        "owned_by": "codestral-ls",
        "capabilities": {"completion_fim": True, "completion_chat": True},
    }
    return {"object": "list", "data": [{**card, "id": name} for name in ("codestral-latest", "sandbox", *FAULTS)]}


def _usage(body: str, completion: int) -> dict[str, int]:
    prompt = len(_TOKEN.findall(body[:20000]))
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def _envelope(
    kind: str, message: Mapping[str, object], name: str, reason: str | None, usage: object
) -> dict[str, object]:
    answer: dict[str, object] = {
        "id": "5a" * 16,
        "object": kind,
        "created": 0,
        "model": "sandbox",
        "choices": [{"index": 0, name: message, "finish_reason": reason}],
    }
    return answer | ({"usage": usage} if usage else {})


def _event(chunk: Mapping[str, object]) -> bytes:
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


def _json_response(status: int, body: object) -> httpx.Response:
    return httpx.Response(status, headers={"content-type": "application/json"}, content=json.dumps(body).encode())
