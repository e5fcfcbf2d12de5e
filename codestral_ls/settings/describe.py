"""The settings in force as `codestral-ls config` shows them: value and source, secrets left out."""

from __future__ import annotations

import json
import os.path
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from typing import Any

from codestral_ls.settings.keys import Key
from codestral_ls.settings.masking import mask_userinfo
from codestral_ls.settings.model import Loaded
from codestral_ls.settings.table import SETTINGS


def describe(loaded: Loaded, key: Key | None = None) -> list[tuple[str, str, str]]:
    """Name, value as shown and source of each setting, in the order of the table.

    `key` is the key that a look-up found; without one, `api_key` shows only whether the setting is given.
    """
    return [_row(name, loaded, key) for name in SETTINGS]


def _row(name: str, loaded: Loaded, key: Key | None) -> tuple[str, str, str]:
    value, source = getattr(loaded.settings, name), loaded.sources[name]
    if name == "api_key":
        if key is not None:
            source = key.source
        elif not value:
            return name, "none", source
        return name, "set", source
    if name == "api_key_command" and value:
        # Only the program: its arguments may hold a secret.
        arguments = f" and {len(value) - 1} more" if len(value) > 1 else ""
        return name, f"{os.path.basename(value[0])}{arguments}", source
    if name == "proxy" and value:
        return name, mask_userinfo(value), source
    return name, _shown(value), source


def _shown(value: Any) -> str:
    """A value close to its TOML spelling; `unset` for None."""
    if value is None:
        return "unset"
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_name(key)} = {_shown(entry)}" for key, entry in value.items()) + "}"
    if isinstance(value, tuple):
        return "[" + ", ".join(_shown(entry) for entry in value) + "]"
    return json.dumps(value, ensure_ascii=False)


def _name(key: str) -> str:
    bare = key.replace("-", "").replace("_", "")
    return key if bare.isascii() and bare.isalnum() else json.dumps(key, ensure_ascii=False)
