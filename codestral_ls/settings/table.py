"""Every setting there is: its kind, default, meaning, and whether a repository's own file may set it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any

from codestral_ls.settings import kinds
from codestral_ls.settings.kinds import Reader
from codestral_ls.settings.model import Settings, Timeouts


def _replace(_below: Any, this: Any) -> Any:
    return this


def _merge_timeouts(below: Timeouts, this: Mapping[str, float]) -> Timeouts:
    return Timeouts(this.get("fim", below.fim), this.get("chat", below.chat))


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One row of the table.

    `project_may_set`: a value in the workspace's `.codestral.toml` counts. Never for what decides where code and
    key go or what program runs.
    `per_language`: may stand in a table of `languages`.
    `secret`: the value may hold a secret, so no message repeats it.
    `blank_is_unset`: an empty string is no value; editors' forms send one for a field left empty.
    `merge`: the value in force from the one below and the one that a layer gives.
    """

    name: str
    read: Reader
    default: Any
    description: str
    project_may_set: bool = False
    per_language: bool = False
    secret: bool = False
    blank_is_unset: bool = False
    merge: Callable[[Any, Any], Any] = _replace


@dataclass(frozen=True, kw_only=True)
class Later:
    """A known name without effect in this version. `quiet`: not worth a word, for leaving it out changes nothing."""

    name: str
    read: Reader = kinds.anything
    project_may_set: bool = False
    per_language: bool = False
    quiet: bool = False


_DEFAULTS: Mapping[str, Any] = {field.name: getattr(Settings(), field.name) for field in fields(Settings)}


def _setting(name: str, read: Reader, description: str, **rest: Any) -> Setting:
    return Setting(name=name, read=read, default=_DEFAULTS[name], description=description, **rest)


def _completion(name: str, read: Reader, description: str) -> Setting:
    return _setting(name, read, description, project_may_set=True, per_language=True)


# The API's ranges (https://docs.mistral.ai/api/): temperature 0 to 1.5, top_p above 0 up to 1. The upper bounds on
# tokens and characters are ours: a repository may set these, and past them a request outgrows the model's context.
_TEMPERATURE = kinds.number(0, 1.5)
_MAX_TOKENS = kinds.integer(1, 32_768)
_WINDOW_MAX = 200_000

SETTINGS: Mapping[str, Setting] = MappingProxyType(
    {
        setting.name: setting
        for setting in (
            _setting(
                "api_key",
                kinds.opaque("a string"),
                "API key; better kept in the environment, a .env file, a password manager or the system keyring",
                secret=True,
                blank_is_unset=True,
            ),
            _setting(
                "api_key_command",
                kinds.command,
                "program and arguments that print the API key, run without a shell",
                secret=True,
            ),
            _setting(
                "base_url",
                kinds.base_url,
                '"auto" for Mistral\'s own hosts, "sandbox:" for the built-in API, or a URL',
                secret=True,
                blank_is_unset=True,
            ),
            _setting("provider", kinds.provider, '"mistral" or "sandbox"'),
            _setting("fim_model", kinds.text("a model id"), "model for completions", per_language=True),
            _completion("temperature", _TEMPERATURE, "randomness of completions, 0 to 1.5"),
            _completion("top_p", kinds.number(0, 1, above=True), "nucleus sampling, above 0 up to 1"),
            _completion("max_tokens", _MAX_TOKENS, "longest completion, in tokens"),
            _completion("stop", kinds.strings("a string or a list of strings", most=16), "texts that end a completion"),
            _completion("enabled", kinds.boolean, "whether to complete at all"),
            _completion(
                "trigger",
                kinds.one_of("auto", "manual"),
                '"auto" while typing, "manual" only on request',
            ),
            _completion("debounce_ms", kinds.debounce, 'pause before a request, in milliseconds, or "adaptive"'),
            _completion(
                "multiline",
                kinds.one_of("auto", "always", "never"),
                "whether a completion may span lines",
            ),
            _completion("prefix_chars", kinds.integer(1, _WINDOW_MAX), "characters before the cursor in a prompt"),
            _completion("suffix_chars", kinds.integer(0, _WINDOW_MAX), "characters after the cursor in a prompt"),
            _setting(
                "exclude",
                kinds.strings("a list of globs", most=1000, forbidden="\0\r\n"),
                "globs of files that never leave this machine, besides the built-in list",
                project_may_set=True,
            ),
            _setting("requests_per_minute", kinds.integer(1, 100_000), "ceiling of our own, besides the API's limits"),
            _setting(
                "timeout_ms",
                kinds.timeouts,
                "longest wait for an answer, in milliseconds: one number, or a table of fim and chat",
                merge=_merge_timeouts,
            ),
            _setting(
                "proxy",
                kinds.proxy,
                'proxy URL, or "none" to go past the system\'s proxies',
                secret=True,
                blank_is_unset=True,
            ),
            _setting(
                "ca_file",
                kinds.absolute_path,
                "file of certificates to trust besides the system's",
                blank_is_unset=True,
            ),
            _setting("verify", kinds.boolean, "whether to check the server's certificate"),
            _setting("allow_insecure", kinds.boolean, "allow plain http to other machines"),
            _setting("log_level", kinds.one_of("debug", "info", "warning", "error"), "least level to log"),
            _setting(
                "languages",
                kinds.table,
                "per language id: enabled, and any completion setting",
                project_may_set=True,
            ),
        )
    }
)

LATER: Mapping[str, Later] = MappingProxyType(
    {
        later.name: later
        for later in (
            Later(
                name="speculation",
                read=kinds.one_of("off", "accepted", "shown"),
                project_may_set=True,
                per_language=True,
                quiet=True,
            ),
            Later(name="chat_model", read=kinds.text("a model id"), quiet=True),
            Later(name="chat_temperature", read=_TEMPERATURE, project_may_set=True, quiet=True),
            Later(name="chat_max_tokens", read=_MAX_TOKENS, project_may_set=True, quiet=True),
            Later(name="candidates", read=kinds.integer(1, 10), per_language=True, quiet=True),
            Later(name="context", read=kinds.context, project_may_set=True, per_language=True, quiet=True),
            Later(name="actions", project_may_set=True),
            Later(name="instructions", project_may_set=True),
            Later(name="tokens_per_minute"),
            Later(name="daily_budget"),
            Later(name="monthly_budget"),
        )
    }
)


def is_known(written: str) -> bool:
    """Whether `written`, in camelCase or snake_case, names a setting, in this version or a later one."""
    name = kinds.snake_case(written)
    return name in SETTINGS or name in LATER
