"""What loading gives: the settings in force, where each came from, and what was wrong on the way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal

Level = Literal["error", "warning", "info"]


@dataclass(frozen=True)
class Problem:
    """One thing wrong with the configuration, in a sentence a user can act on. Never holds a key."""

    level: Level
    message: str


@dataclass(frozen=True)
class Timeouts:
    """Longest wait for an answer, in milliseconds, by kind of request."""

    fim: float = 8_000
    chat: float = 60_000


@dataclass(frozen=True)
class Settings:
    """The settings in force. Attribute names are the setting names; `table.py` describes each.

    `exclude` holds the user's own globs; the built-in list of secret files comes on top of it.
    `proxy` is None for the system's proxies, `"none"` for a direct connection, else a URL.
    `base_url` is `"auto"`, `"sandbox:"` or a normalised URL: `endpoints()` turns it into addresses.
    """

    api_key: str | None = field(default=None, repr=False)
    api_key_command: tuple[str, ...] = field(default=(), repr=False)
    base_url: str = "auto"
    provider: str = "mistral"
    fim_model: str = "codestral-latest"
    temperature: float = 0.1
    top_p: float | None = None
    max_tokens: int = 256
    stop: tuple[str, ...] = ()
    enabled: bool = True
    trigger: Literal["auto", "manual"] = "auto"
    debounce_ms: float | Literal["adaptive"] = "adaptive"
    multiline: Literal["auto", "always", "never"] = "auto"
    prefix_chars: int = 12_000
    suffix_chars: int = 4_000
    exclude: tuple[str, ...] = ()
    requests_per_minute: int | None = None
    timeout_ms: Timeouts = Timeouts()
    proxy: str | None = field(default=None, repr=False)
    ca_file: str | None = None
    verify: bool = True
    allow_insecure: bool = False
    log_level: Literal["debug", "info", "warning", "error"] = "warning"
    languages: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: MappingProxyType({}), hash=False)

    _by_language: dict[str, Settings] = field(default_factory=dict, init=False, repr=False, compare=False)

    def for_language(self, language_id: str) -> Settings:
        """These settings with the overrides of one language id; the same object when there are none."""
        overrides = self.languages.get(language_id)
        if not overrides:
            return self
        merged = self._by_language.get(language_id)
        if merged is None:
            merged = self._by_language[language_id] = replace(self, **overrides)
        return merged


@dataclass(frozen=True)
class Loaded:
    """`sources` names, for each setting, the layer its value came from (`"default"` where nobody set it).

    `refused` holds the names of settings for which some layer gave a value that could not be used.
    """

    settings: Settings
    sources: Mapping[str, str]
    problems: tuple[Problem, ...]
    refused: frozenset[str] = frozenset()
