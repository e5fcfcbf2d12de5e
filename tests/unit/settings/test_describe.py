"""What `codestral-ls config` shows of the settings."""

from __future__ import annotations

from typing import Any

import pytest

from codestral_ls.settings import SETTINGS, Key, describe


def rows(loaded: Any, key: Key | None = None) -> dict[str, tuple[str, str]]:
    return {name: (value, source) for name, value, source in describe(loaded, key)}


def test_every_setting_in_force_is_a_row_in_order(load_layers: Any) -> None:
    assert [name for name, _, _ in describe(load_layers())] == list(SETTINGS)
    assert not {"actions", "context", "speculation", "daily_budget"} & set(rows(load_layers()))


def test_values_look_as_in_toml(load_layers: Any) -> None:
    shown = rows(
        load_layers(
            editor={
                "exclude": ["*.a", 'q"'],
                "timeoutMs": 900,
                "languages": {"objective-c": {"maxTokens": 5}, "c++": {"enabled": False}},
            }
        )
    )
    assert shown["exclude"] == ('["*.a", "q\\""]', "editor settings")
    assert shown["timeout_ms"] == ("{fim = 900, chat = 900}", "editor settings")
    assert shown["languages"][0] == '{objective-c = {max_tokens = 5}, "c++" = {enabled = false}}'
    assert shown["enabled"] == ("true", "default")
    assert shown["top_p"] == ("unset", "default")
    assert shown["debounce_ms"] == ('"adaptive"', "default")


def test_a_key_is_never_shown(load_layers: Any) -> None:
    loaded = load_layers(editor={"apiKey": "hunter2"})
    assert rows(loaded)["api_key"] == ("set", "editor settings")
    assert "hunter2" not in str(describe(loaded))
    found = Key("hunter2", "system keyring")
    assert rows(load_layers(), found)["api_key"] == ("set", "system keyring")
    assert rows(load_layers())["api_key"] == ("none", "default")


@pytest.mark.parametrize("name", ["proxy", "api_key_command"])
def test_other_places_of_a_secret_are_masked(load_layers: Any, name: str) -> None:
    value = {"proxy": "http://user:hunter2@proxy.example:3128", "api_key_command": ["/bin/vault", "hunter2"]}[name]
    shown = rows(load_layers(editor={name: value}))[name][0]
    assert shown == {"proxy": "http://[hidden]@proxy.example:3128", "api_key_command": "vault and 1 more"}[name]
