"""Where codestral-ls keeps things outside the workspace: the platform's folders, private to the user."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO, Any, Literal

APP = "codestral-ls"

FOLDER_MODE = 0o700
FILE_MODE = 0o600


def config_dir() -> Path:
    """Folder of `config.toml` (on Linux `$XDG_CONFIG_HOME/codestral-ls`). Not created."""
    return _folder("config")


def state_dir() -> Path:
    """Folder of logs and the ledger. Not created; `open_private` does that."""
    return _folder("state")


def cache_dir() -> Path:
    """Folder of what can be fetched again. Not created; `open_private` does that."""
    return _folder("cache")


def user_config_path() -> Path:
    """The user's settings file, whether it exists or not."""
    return config_dir() / "config.toml"


def cwd_or_none() -> Path | None:
    """The folder that the process was started in; None if it has been deleted since or may not be reached."""
    try:
        return Path.cwd()
    except OSError:
        return None


def ensure_private(folder: Path) -> Path:
    """Create the folder, and those above it that are missing, for the user alone (0700). Raises OSError."""
    for missing in reversed([each for each in (folder, *folder.parents) if not each.exists()]):
        missing.mkdir(mode=FOLDER_MODE, exist_ok=True)
    return folder


def open_private(path: Path, mode: Literal["r", "w", "a", "r+", "a+", "wb", "ab", "rb"] = "a") -> IO[Any]:
    """Open a file that only the user can read (0600), its folder created if need be; text is UTF-8.

    A file that is there already with wider permissions is narrowed. Raises OSError.
    """
    ensure_private(path.parent)
    return open(path, mode, encoding=None if "b" in mode else "utf-8", opener=_private_opener)


def _private_opener(path: str, flags: int) -> int:
    descriptor = os.open(path, flags, FILE_MODE)
    # Windows has no such permissions; there the folder is the user's own.
    if hasattr(os, "fchmod") and os.name == "posix":
        try:
            os.fchmod(descriptor, FILE_MODE)
        except OSError:
            os.close(descriptor)
            raise
    return descriptor


def _folder(kind: Literal["config", "state", "cache"]) -> Path:
    import platformdirs

    find = {
        "config": platformdirs.user_config_path,
        "state": platformdirs.user_state_path,
        "cache": platformdirs.user_cache_path,
    }[kind]
    return find(APP, appauthor=False)
