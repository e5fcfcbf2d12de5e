"""The API inside the process, behind the transport seam: no network, no port, no key.

It continues the text that it is given with what most likely follows (as in similar places of the file itself, or as
in the bundled sample if that is the file), in the wire forms of the real API: streams at a realistic pace, usage, 422
for unknown fields, and each error of the API on demand, by the model names in `sandbox_rules`. Every answer names the
model `sandbox`.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

import httpx

from codestral_ls.api.sandbox_rules import (
    BREAK,
    BREAKING,
    CHAT_FIELDS,
    FAULTS,
    FIM_FIELDS,
    GREEDY,
    SILENT,
    Fault,
    complaints,
)

NOTICE = "Answers come from the built-in sandbox, not from Codestral."

FIRST_TOKEN_SECONDS = 0.18
TOKEN_SECONDS = 0.008
"""The pace of Codestral as users see it on a good day: 180 ms to the first token, then about 125 tokens a second."""

LONGEST_MATCH, SHORTEST_MATCH = 64, 4
"""How many characters before the cursor are looked for elsewhere in the text."""

SHORTEST_PART = 6
"""The same where they are not the whole line so far: fewer stand in too many places to tell what follows."""

WINDOW = 16_000
"""How many characters on each side of the cursor are looked through: a request's windows are no longer as a rule, and
one that has 200 KB must not hold up the loop."""

MOST_LINES = 2
"""How much is suggested at once: what a person takes in at a glance."""

LONGEST_ALIKE = 200
"""Characters of a line that is compared with others by its form."""

_TOKEN = re.compile(r"\s*\w{1,6}|\s*[^\w\s]|\s+")
_WORD_END = re.compile(r"\w+$")
_PARTS = re.compile(r"\w+|[^\w\s]+[ \t]*|[ \t]+(?=\S)")


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
        except (ValueError, RecursionError):
            return _json_response(
                422, {"detail": [{"type": "json_invalid", "loc": ["body"], "msg": "JSON decode error"}]}
            )
        fim = path == "/v1/fim/completions"
        if wrong := complaints(body, FIM_FIELDS if fim else CHAT_FIELDS, ("prompt",) if fim else ("messages",)):
            return _json_response(422, {"detail": wrong})
        if body.get("temperature") == 0 and body.get("top_p") not in (None, 1):
            return _fault_response(GREEDY)
        if fault := FAULTS.get(body["model"]):
            return _fault_response(fault)
        if body["model"] == SILENT:
            await self._sleep(request.extensions.get("timeout", {}).get("read") or 3600.0)
            raise httpx.ReadTimeout("the sandbox did not answer")
        answer = (
            continuation(body["prompt"], body.get("suffix") or "", self._script(body["prompt"]))
            if fim
            else f"{NOTICE} It does not chat; set an API key to ask Codestral."
        )
        text, reason = _decode(answer, body)
        tokens = _TOKEN.findall(text)
        usage = _usage(body, len(tokens))
        if not body.get("stream"):
            await self._sleep(self._first_token + self._token * len(tokens))
            message = {"role": "assistant", "tool_calls": None, "content": text}
            return _json_response(200, _envelope("chat.completion", message, "message", reason, usage))
        return httpx.Response(
            200,
            headers={"content-type": "text/event-stream; charset=utf-8"},
            stream=_Events(self._events(tokens, reason, usage, breaks=body["model"] == BREAKING)),
        )

    async def _events(
        self, tokens: list[str], reason: str, usage: object, *, breaks: bool
    ) -> AsyncGenerator[bytes, None]:
        yield _event(_envelope("chat.completion.chunk", {"role": "assistant", "content": ""}, "delta", None, None))
        await self._sleep(self._first_token)
        for index, token in enumerate(tokens or [""]):
            if breaks and index == len(tokens) // 2:
                yield _event(BREAK)
                return
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

    def _script(self, prompt: str) -> str:
        """The sample, if that is what is being written: its text has no business in another file."""
        if self._sample is None:
            self._sample = sample_text()
        return self._sample if self._sample.partition("\n")[0] in prompt else ""


class _Events(httpx.AsyncByteStream):
    """Closing it ends the generation, as at the API."""

    def __init__(self, events: AsyncGenerator[bytes, None]) -> None:
        self._events = events

    def __aiter__(self) -> AsyncGenerator[bytes, None]:
        return self._events

    async def aclose(self) -> None:
        await self._events.aclose()


def sample_text() -> str:
    """The text of the bundled sample."""
    return resources.files("codestral_ls.samples").joinpath("inventory.py").read_text("utf-8")


def continuation(prompt: str, suffix: str, script: str = "") -> str:
    """What most likely stands between `prompt` and `suffix`, from similar places in `script` and in the text itself.

    The longest run of characters before the cursor that also stands elsewhere is continued as it was there, to the
    end of its paragraph; but if that run is only a part of the line, first as a line of the same form goes on. Empty
    if nothing similar is found. No more than `WINDOW` characters on each side count.
    """
    prompt, suffix = prompt[-WINDOW:], suffix[:WINDOW]
    # Without the unfinished line: half of it is no example for the other half.
    before, line = prompt[: prompt.rfind("\n") + 1], prompt[prompt.rfind("\n") + 1 :]
    whole = max(len(line.lstrip()), SHORTEST_MATCH)
    sources = (_Source(script), _Source(suffix, nearest=str.find), _Source(before))
    return (
        _as_elsewhere(prompt, sources, range(LONGEST_MATCH, whole - 1, -1))
        or _as_alike(line, sources, prompt)
        or _as_elsewhere(prompt, sources, range(min(LONGEST_MATCH, whole - 1), SHORTEST_PART - 1, -1))
        or _rest_of_word(prompt, suffix)
    )


@dataclass(frozen=True)
class _Source:
    """A text to look for examples in, and how the one that is nearest to the cursor is found."""

    text: str
    nearest: Callable[[str, str], int] = str.rfind


def _as_elsewhere(prompt: str, sources: Iterable[_Source], lengths: Iterable[int]) -> str:
    """As the last characters of the prompt go on elsewhere, as many of them as the first length that is found."""
    for length in lengths:
        tail = prompt[-length:]
        if len(tail) < length:
            continue
        if len(tail.strip()) < SHORTEST_MATCH:
            break
        for source in sources:
            at = source.nearest(source.text, tail)
            if at >= 0 and (found := _paragraph(source.text[at + length :], prompt)):
                return found
    return ""


def _as_alike(line: str, sources: Iterable[_Source], prompt: str) -> str:
    """As a line goes on that begins with the same word, with the same indentation, and the same signs between words.

    Of several the one that shares most words, then the nearest. Nothing in the middle of a word: another line does
    not know its rest.
    """
    parts = _PARTS.findall(line)
    if len(line) > LONGEST_ALIKE or len(parts) < 2 or _is_word(parts[-1]) or not _is_word(parts[0]):
        return ""
    form = "".join(r"\w+" if _is_word(part) else re.escape(part) for part in parts[1:])
    indentation = line[: len(line) - len(line.lstrip())]
    alike = re.compile(rf"^{re.escape(indentation + parts[0])}{form}", re.MULTILINE)
    words = set(parts)
    best: tuple[int, str] = (0, "")
    for source in sources:
        matches = list(alike.finditer(source.text))
        for match in matches if source.nearest is str.find else reversed(matches):
            shared = len(words.intersection(_PARTS.findall(match[0])))
            if shared > best[0] and (found := _paragraph(source.text[match.end() :], prompt)):
                best = (shared, found)
    return best[1]


def _is_word(part: str) -> bool:
    return part[0].isalnum() or part[0] == "_"


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
    return max(Counter(words).items(), key=lambda found: (found[1], found[0]))[0] if words else ""


def _decode(answer: str, body: Mapping[str, Any]) -> tuple[str, str]:
    stops = body.get("stop") or []
    for stop in [stops] if isinstance(stops, str) else stops:
        answer = answer.split(stop, 1)[0] if stop else answer
    tokens = _TOKEN.findall(answer)
    limit = body.get("max_tokens")
    if limit is not None and len(tokens) > limit:
        return "".join(tokens[:limit]), "length"
    return answer, "stop"


def _models() -> dict[str, object]:
    card = {
        "object": "model",
        "owned_by": "codestral-ls",
        "capabilities": {"completion_fim": True, "completion_chat": True},
    }
    names = ("codestral-latest", "sandbox", *FAULTS, SILENT, BREAKING)
    return {"object": "list", "data": [{**card, "id": name} for name in names]}


def _usage(body: Mapping[str, Any], completion: int) -> dict[str, object]:
    asked = body["prompt"] + (body.get("suffix") or "") if "prompt" in body else json.dumps(body["messages"])
    # Four characters a token is near to what tokenizers make of code.
    prompt = -(-len(asked) // 4)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": 0},
    }


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


def _fault_response(fault: Fault) -> httpx.Response:
    return httpx.Response(fault.status, headers=dict(fault.headers), content=fault.body.encode())


def _json_response(status: int, body: object) -> httpx.Response:
    return httpx.Response(status, headers={"content-type": "application/json"}, content=json.dumps(body).encode())
