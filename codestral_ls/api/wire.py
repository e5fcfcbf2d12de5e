"""What goes over the wire: exact request bodies, and lenient reading of answers and of error bodies. No I/O.

The API refuses unknown fields with 422, so a body holds the fields of its schema and nothing else. Its answers
differ between hosts, versions and compatible servers, so reading takes what it can get.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from codestral_ls.api.errors import NonsenseAnswer

FIM_PATH = "/v1/fim/completions"
CHAT_PATH = "/v1/chat/completions"
MODELS_PATH = "/v1/models"
DONE = "[DONE]"


@dataclass(frozen=True)
class FimRequest:
    """A fill-in-the-middle request. `max_tokens` and `min_tokens` in tokens; `None` leaves a field out of the body."""

    model: str
    prompt: str
    suffix: str
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop: Sequence[str] = ()
    min_tokens: int | None = None
    random_seed: int | None = None

    def body(self, *, stream: bool = True) -> bytes:
        """The JSON body, exactly the fields that the FIM schema knows."""
        fields: dict[str, object] = {
            "model": self.model,
            "prompt": self.prompt,
            "suffix": self.suffix,
            "stream": stream,
        }
        optional: dict[str, object] = {
            "max_tokens": self.max_tokens,
            "min_tokens": self.min_tokens,
            "temperature": self.temperature,
            # "top_p must be 1 when using greedy sampling": left out, it is 1.
            "top_p": None if self.temperature == 0 else self.top_p,
            "stop": _stops(self.stop),
            "random_seed": self.random_seed,
        }
        fields.update((name, value) for name, value in optional.items() if value is not None)
        return _dump(fields)


@dataclass(frozen=True)
class ChatRequest:
    """A chat request. `messages` as the API takes them: mappings with `role` and `content`."""

    model: str
    messages: Sequence[Mapping[str, object]]
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop: Sequence[str] = ()
    tools: Sequence[Mapping[str, object]] = ()
    tool_choice: str | None = None
    prediction: str | None = None

    def body(self, *, stream: bool = True) -> bytes:
        """The JSON body, exactly the fields that the chat schema knows."""
        fields: dict[str, object] = {
            "model": self.model,
            "messages": [dict(message) for message in self.messages],
            "stream": stream,
        }
        prediction = None if self.prediction is None else {"type": "content", "content": self.prediction}
        optional: dict[str, object] = {
            "max_tokens": self.max_tokens,
            "temperature": self.temperature,
            "top_p": None if self.temperature == 0 else self.top_p,
            "stop": _stops(self.stop),
            "tools": list(self.tools) or None,
            "tool_choice": self.tool_choice if self.tools else None,
            "prediction": prediction,
        }
        fields.update((name, value) for name, value in optional.items() if value is not None)
        return _dump(fields)


@dataclass(frozen=True)
class Usage:
    """Tokens that the API counted for one call. `cached_tokens` are those of the prompt that cost less."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0


@dataclass(frozen=True)
class ToolCallPart:
    """A piece of a function call; pieces of one call share `index`, and `arguments` are to be joined."""

    index: int
    id: str
    name: str
    arguments: str


@dataclass(frozen=True)
class Chunk:
    """One piece of an answer. `finish_reason` (`stop`, `length`, …) and `usage` come with the last one."""

    text: str
    finish_reason: str | None = None
    usage: Usage | None = None
    tool_calls: tuple[ToolCallPart, ...] = ()
    model: str | None = None


@dataclass(frozen=True)
class Model:
    """A model that the host offers. `fim` and `chat`: what the host says it can do; True where the host does not say.

    `max_context` is in tokens.
    """

    id: str
    fim: bool
    chat: bool
    aliases: tuple[str, ...] = ()
    max_context: int | None = None


def read_chunk(data: str) -> Chunk | None:
    """The chunk in an event's data; None for one without content (padding, keep-alive).

    Raises `StreamError` if it is an error event, `NonsenseAnswer` if it is not JSON or not an object.
    """
    chunk = read_answer(data)
    return chunk if chunk.text or chunk.finish_reason or chunk.usage or chunk.tool_calls else None


def read_answer(data: str) -> Chunk:
    """A plain JSON answer as one chunk, or the chunk in an event's data, with whatever it holds.

    Raises `StreamError` if it is an error, `NonsenseAnswer` if it is not JSON or not an object.
    """
    try:
        answer = json.loads(data)
        if not isinstance(answer, dict):
            raise NonsenseAnswer(f"The API sent JSON that is not an answer: {excerpt(data)}")
        if answer.get("object") in ("error", "Error") or (not answer.get("choices") and _has_error(answer)):
            raise StreamError(answer, data)
        return _chunk(answer)
    except ValueError:
        raise NonsenseAnswer(f"The API sent something that is not JSON: {excerpt(data)}") from None
    except RecursionError:
        raise NonsenseAnswer("The API sent JSON that is nested too deeply to be an answer.") from None


class StreamError(Exception):
    """An error event in the middle of a stream, or an error body with status 200: `data` as sent, `body` as parsed."""

    def __init__(self, body: Mapping[str, Any], data: str) -> None:
        super().__init__(error_text(body))
        self.body = body
        self.data = data

    @property
    def status(self) -> int:
        """The HTTP status that the event stands for; 500 where it names none."""
        inner = self.body.get("error")
        sources = (self.body, inner if isinstance(inner, dict) else {})
        for source in sources:
            for name in ("raw_status_code", "status", "code"):
                status = source.get(name)
                if isinstance(status, int) and 400 <= status <= 599:
                    return status
        return next((_STATUS_OF_TYPE[kind] for s in sources if (kind := str(s.get("type"))) in _STATUS_OF_TYPE), 500)


_STATUS_OF_TYPE = {
    "invalid_model": 400,
    "tier_not_allowed": 403,
    "labs_not_enabled": 403,
    "rate_limited": 429,
    "service_tier_capacity_exceeded": 429,
    "engine_max_pending_tokens": 429,
}


def read_models(data: str) -> tuple[Model, ...]:
    """The models of a `/v1/models` answer. Raises `NonsenseAnswer` if it is none."""
    try:
        answer = json.loads(data)
    except (ValueError, RecursionError):
        answer = None
    # Some compatible servers leave the envelope out.
    cards = answer.get("data") if isinstance(answer, dict) else answer
    if not isinstance(cards, list):
        raise NonsenseAnswer(f"The API sent a list of models that cannot be read: {excerpt(data)}")
    return tuple(_model(card) for card in cards if isinstance(card, dict) and isinstance(card.get("id"), str))


def error_text(body: object) -> str:
    """The human part of an error body, whatever its family (`message`, `detail`, nested, JSON in a string)."""
    return _error_text(body, 8)


def _error_text(body: object, depth: int) -> str:
    """`depth`: how far to look; a real body has four levels, and a hostile one must not exhaust the stack."""
    if isinstance(body, str):
        if depth and body.lstrip()[:1] in ("{", "["):
            try:
                return _error_text(json.loads(body), depth - 1) or excerpt(body, 400)
            except (ValueError, RecursionError):
                return excerpt(body, 400)
        return excerpt(body, 400)
    if not depth:
        return ""
    if isinstance(body, list):
        return "; ".join(filter(None, (_error_text(part, depth - 1) for part in body[:3])))
    if isinstance(body, dict):
        if isinstance(message := body.get("msg"), str):
            where = body.get("loc")
            path = ".".join(str(p) for p in where if p != "body") if isinstance(where, list) else ""
            return excerpt(f"{path}: {message}" if path else message, 400)
        found = (_error_text(body.get(name), depth - 1) for name in ("message", "detail", "error"))
        return next(filter(None, found), "")
    return ""


def excerpt(text: str, length: int = 120) -> str:
    """The first `length` characters of a text on one line, for a message."""
    line = " ".join(text[: length * 4].split())
    return line if len(line) <= length else line[: length - 1] + "…"


def _dump(fields: Mapping[str, object]) -> bytes:
    text = json.dumps(fields, ensure_ascii=False, separators=(",", ":"))
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        # Half of a surrogate pair has no UTF-8 form: U+FFFD in its place. Two halves that meet become one character.
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode("utf-8")


def _stops(stop: Sequence[str]) -> list[str] | None:
    """One string is one stop, not its characters; an empty one would stop every answer before it begins."""
    return [text for text in ([stop] if isinstance(stop, str) else stop) if text] or None


def _has_error(answer: Mapping[str, Any]) -> bool:
    return any(answer.get(name) for name in ("error", "detail", "message"))


def _chunk(answer: Mapping[str, Any]) -> Chunk:
    choice = _first_choice(answer)
    message = next((m for name in ("delta", "message") if isinstance(m := choice.get(name), dict) and m), {})
    text = _text(message.get("content"))
    if not text:
        text = _text(choice.get("text")) or _text(answer.get("content"))
    finish = choice.get("finish_reason")
    model = answer.get("model")
    return Chunk(
        text,
        finish if isinstance(finish, str) else None,
        _usage(answer.get("usage")),
        tuple(_tool_calls(message.get("tool_calls"))),
        model if isinstance(model, str) else None,
    )


def _first_choice(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    choices = answer.get("choices")
    if isinstance(choices, list):
        for choice in choices:
            # With n > 1 the chunks of several answers come interleaved; the first answer is the one asked for.
            if isinstance(choice, dict) and choice.get("index", 0) in (0, None):
                return choice
    return {}


def _text(content: object) -> str:
    """Content is a string, null, or a list of parts of which only `text` is part of the answer."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(
            part
            if isinstance(part, str)
            else _text(part.get("text"))
            if isinstance(part, dict) and part.get("type", "text") == "text"
            else ""
            for part in content
        )
    return ""


def _usage(usage: object) -> Usage | None:
    if not isinstance(usage, dict) or not usage:
        return None
    details = usage.get("prompt_tokens_details") or usage.get("prompt_token_details")
    cached = details.get("cached_tokens") if isinstance(details, dict) else usage.get("num_cached_tokens")
    return Usage(_count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens")), _count(cached))


def _count(value: object) -> int:
    """A number of tokens; 0 for what cannot be one, such as NaN, which Python's parser takes for JSON."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 2**53:
        return 0
    return int(value)


def _tool_calls(calls: object) -> list[ToolCallPart]:
    parts = []
    for position, call in enumerate(calls if isinstance(calls, list) else ()):
        if not isinstance(call, dict):
            continue
        function = _table(call.get("function"))
        arguments = function.get("arguments") or ""
        if not isinstance(arguments, str):
            arguments = json.dumps(arguments)
        index = call.get("index")
        # Later parts of a split call carry no id, or the string "null".
        identity = call.get("id")
        parts.append(
            ToolCallPart(
                index if isinstance(index, int) else position,
                identity if isinstance(identity, str) and identity != "null" else "",
                str(function.get("name") or ""),
                arguments,
            )
        )
    return parts


def _model(card: Mapping[str, Any]) -> Model:
    abilities = card.get("capabilities")
    says = isinstance(abilities, dict)
    aliases = card.get("aliases")
    context = card.get("max_context_length")
    return Model(
        card["id"],
        bool(_table(abilities).get("completion_fim")) or not says,
        bool(_table(abilities).get("completion_chat")) or not says,
        tuple(alias for alias in aliases if isinstance(alias, str)) if isinstance(aliases, list) else (),
        context if isinstance(context, int) and context > 0 else None,
    )


def _table(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
