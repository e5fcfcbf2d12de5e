"""The kinds of value a setting can hold: each reads a raw TOML or JSON value or says what was expected."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeGuard

Refuse = Callable[[str, str, object], None]
"""Called for an entry that is dropped: its place below the setting, what was expected, what was there."""

Reader = Callable[[object, Refuse], Any]
"""Gives the value as `Settings` holds it. Raises WrongValue when nothing of it can be used."""

ADAPTIVE = "adaptive"
DIRECT = "none"


class WrongValue(ValueError):
    """A value of the wrong kind or out of range; its text completes "expected …"."""


def boolean(raw: object, _refuse: Refuse) -> bool:
    if not isinstance(raw, bool):
        raise WrongValue("true or false")
    return raw


def integer(low: int, high: int) -> Reader:
    def read(raw: object, _refuse: Refuse) -> int:
        # Some JSON encoders write 256 as 256.0.
        whole = int(raw) if isinstance(raw, float) and raw.is_integer() else raw
        if isinstance(whole, bool) or not isinstance(whole, int) or not low <= whole <= high:
            raise WrongValue(f"a whole number from {low} to {high}")
        return whole

    return read


def number(low: float, high: float, *, above: bool = False) -> Reader:
    """A number from `low` to `high`; with `above`, `low` itself is not allowed."""

    def read(raw: object, _refuse: Refuse) -> float:
        wanted = f"a number above {low} and up to {high}" if above else f"a number from {low} to {high}"
        if isinstance(raw, bool) or not isinstance(raw, (int, float)):
            raise WrongValue(wanted)
        # Written so that NaN, which TOML can spell, fails it.
        if not low <= raw <= high or (above and raw == low):
            raise WrongValue(wanted)
        return raw

    return read


def one_of(*choices: str) -> Reader:
    def read(raw: object, _refuse: Refuse) -> str:
        choice = raw.strip().lower() if isinstance(raw, str) else None
        if choice not in choices:
            raise WrongValue(" or ".join(f'"{c}"' for c in choices))
        return choice

    return read


def text(what: str, *, longest: int = 200) -> Reader:
    """One line of printable text without blanks at its ends."""

    def read(raw: object, _refuse: Refuse) -> str:
        line = raw.strip() if isinstance(raw, str) else ""
        if not line or not line.isprintable() or len(line) > longest:
            raise WrongValue(what)
        return line

    return read


def opaque(what: str) -> Reader:
    """Any string; `keys.py` decides whether it is a key, so that all sources of one get the same treatment."""

    def read(raw: object, _refuse: Refuse) -> str:
        if not isinstance(raw, str):
            raise WrongValue(what)
        return raw

    return read


def strings(what: str, *, most: int, longest: int = 1000, forbidden: str = "") -> Reader:
    """A list of strings, or one string; entries that cannot be used are dropped one by one."""

    def read(raw: object, refuse: Refuse) -> tuple[str, ...]:
        entries = [raw] if isinstance(raw, str) else raw
        if not is_list(entries) or len(entries) > most:
            raise WrongValue(f"{what}, {most} at most")
        good: list[str] = []
        for index, entry in enumerate(entries):
            if not isinstance(entry, str) or not entry or len(entry) > longest or any(c in entry for c in forbidden):
                refuse(f"[{index}]", "a non-empty string", entry)
            else:
                good.append(entry)
        return tuple(good)

    return read


def command(raw: object, _refuse: Refuse) -> tuple[str, ...]:
    """A program and its arguments. Whole or not at all: a command short of an argument is another command."""
    wanted = 'a list of strings, the program and its arguments, as in ["pass", "show", "mistral"]'
    if not is_list(raw) or not 1 <= len(raw) <= 100:
        raise WrongValue(wanted)
    if not all(isinstance(part, str) and "\0" not in part for part in raw) or not raw[0].strip():
        raise WrongValue(wanted)
    return tuple(raw)


def absolute_path(raw: object, _refuse: Refuse) -> str:
    """A relative one would be looked up in the folder that the editor was started in: often the repository."""
    import os.path

    path = os.path.expanduser(raw.strip()) if isinstance(raw, str) else ""
    if not os.path.isabs(path) or "\0" in path:
        raise WrongValue("an absolute path (or one that starts with ~)")
    return path


def base_url(raw: object, _refuse: Refuse) -> str:
    from codestral_ls.settings.hosts import BadBaseUrl, normalise

    if not isinstance(raw, str):
        raise WrongValue('"auto", "sandbox:" or a URL such as "https://api.mistral.ai"')
    try:
        return normalise(raw)
    except BadBaseUrl as error:
        raise WrongValue(str(error)) from None


def proxy(raw: object, _refuse: Refuse) -> str:
    """A proxy URL, which may hold a user name and a password, or "none"."""
    from urllib.parse import urlsplit

    wanted = '"none" or a URL with http, https, socks5 or socks5h, as in "http://proxy.example:3128"'
    url = raw.strip() if isinstance(raw, str) else ""
    if url.lower() == DIRECT:
        return DIRECT
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https", "socks5", "socks5h"} and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable or not url.isprintable() or " " in url:
        raise WrongValue(wanted)
    return url


def provider(raw: object, refuse: Refuse) -> str:
    later = ("ollama", "llama.cpp", "openai")
    if isinstance(raw, str) and raw.strip().lower() in later:
        raise WrongValue('"mistral" or "sandbox" (the others come in a later version)')
    choice: str = one_of("mistral", "sandbox")(raw, refuse)
    return choice


def debounce(raw: object, refuse: Refuse) -> float | str:
    if isinstance(raw, str) and raw.strip().lower() == ADAPTIVE:
        return ADAPTIVE
    try:
        delay: float = number(0, 10_000)(raw, refuse)
    except WrongValue as error:
        raise WrongValue(f'"{ADAPTIVE}" or {error}, in milliseconds') from None
    return delay


def timeouts(raw: object, refuse: Refuse) -> Mapping[str, float]:
    """The entries given, of `fim` and `chat`; one number stands for both."""
    limit = number(100, 3_600_000)
    if not is_table(raw):
        try:
            both = limit(raw, refuse)
        except WrongValue as error:
            raise WrongValue(f"{error}, in milliseconds, or a table of fim and chat") from None
        return {"fim": both, "chat": both}
    return entries(raw, refuse, {"fim": limit, "chat": limit})


def context(raw: object, refuse: Refuse) -> bool | Mapping[str, object]:
    if isinstance(raw, bool):
        return raw
    if not is_table(raw):
        raise WrongValue("true, false or a table")
    readers: dict[str, Reader] = {
        "open_files": boolean,
        "recent_edits": boolean,
        "definitions": boolean,
        "max_chars": integer(0, 200_000),
    }
    return entries(raw, refuse, readers)


def table(raw: object, _refuse: Refuse) -> Mapping[object, object]:
    if not is_table(raw):
        raise WrongValue("a table")
    return as_table(raw)


def anything(raw: object, _refuse: Refuse) -> object:
    return raw


def entries(raw: object, refuse: Refuse, readers: Mapping[str, Reader]) -> dict[str, Any]:
    """The usable entries of a nested table; the others are refused one by one, null ones are unset."""
    good: dict[str, Any] = {}
    for written, value in as_table(raw).items():
        name = snake_case(str(written))
        if value is None:
            continue
        if name not in readers:
            refuse(f".{name}", "one of " + ", ".join(readers) + " as the name", value)
            continue
        try:
            good[name] = readers[name](value, refuse)
        except WrongValue as error:
            refuse(f".{name}", str(error), value)
    return good


def is_list(raw: object) -> TypeGuard[Sequence[Any]]:
    return isinstance(raw, Sequence) and not isinstance(raw, (str, bytes))


def is_table(raw: object) -> bool:
    """Lua has one kind of table, so an empty one arrives as `[]`."""
    return isinstance(raw, Mapping) or (is_list(raw) and not raw)


def as_table(raw: object) -> Mapping[object, object]:
    return raw if isinstance(raw, Mapping) else {}


def snake_case(name: str) -> str:
    """`debounceMs`, `baseURL` and `debounce_ms` as setting names spell them."""
    out: list[str] = []
    for index, char in enumerate(name):
        before, after = name[index - 1 : index], name[index + 1 : index + 2]
        if char.isupper() and before and before != "_" and (not before.isupper() or after.islower()):
            out.append("_")
        out.append(char.lower())
    return "".join(out)
