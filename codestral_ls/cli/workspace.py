"""What commands need of the place where they are run: files, the workspace root, settings and keys."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from codestral_ls.cli.failure import Failure
from codestral_ls.settings import Loaded, Problem, load
from codestral_ls.settings.keys import KeyRing
from codestral_ls.settings.paths import cwd_or_none, user_config_path

_ROOT_MARKERS = (".codestral.toml", ".git")

LANGUAGES = {
    ".py": "python", ".pyi": "python", ".js": "javascript", ".mjs": "javascript", ".cjs": "javascript",
    ".jsx": "javascriptreact", ".ts": "typescript", ".tsx": "typescriptreact", ".rs": "rust", ".go": "go",
    ".java": "java", ".c": "c", ".h": "c", ".cc": "cpp", ".cpp": "cpp", ".hpp": "cpp", ".cs": "csharp",
    ".rb": "ruby", ".php": "php", ".sh": "shellscript", ".bash": "shellscript", ".lua": "lua", ".html": "html",
    ".css": "css", ".scss": "scss", ".json": "json", ".yaml": "yaml", ".yml": "yaml", ".toml": "toml",
    ".md": "markdown", ".sql": "sql", ".kt": "kotlin", ".swift": "swift", ".scala": "scala", ".hs": "haskell",
    ".ex": "elixir", ".exs": "elixir", ".erl": "erlang", ".clj": "clojure", ".el": "emacs-lisp", ".vim": "vim",
    ".r": "r", ".jl": "julia", ".dart": "dart", ".vue": "vue", ".svelte": "svelte", ".tex": "latex",
}  # fmt: skip
"""LSP language ids by file extension, for files that no editor has named."""


@dataclass(frozen=True)
class Workspace:
    """A root, its settings and its keys."""

    root: Path
    loaded: Loaded
    keys: KeyRing


def open_workspace(near: Path) -> Workspace:
    """The workspace that holds the file or folder `near`."""
    root = root_of(near)

    def read() -> Loaded:
        return load(environment=os.environ, user_config=user_config_path(), editor={}, workspace_root=root)

    loaded = read()
    return Workspace(root, loaded, KeyRing(read, environment=os.environ, workspace_root=root, cwd=cwd_or_none()))


def here() -> Path:
    """The folder that the command was started in; the user's home if there is no such folder any more."""
    return cwd_or_none() or Path.home()


def say_problems(problems: Iterable[Problem]) -> None:
    """What is wrong with settings or keys, a line each on stderr."""
    for problem in problems:
        print(f"codestral-ls: {problem.level}: {problem.message}", file=sys.stderr)


def root_of(near: Path) -> Path:
    """The nearest folder upwards with a project file or a repository; else the folder itself."""
    folder = near if near.is_dir() else near.parent
    for candidate in (folder, *folder.parents):
        if any((candidate / marker).exists() for marker in _ROOT_MARKERS):
            return candidate
    return folder


def read_text(path: Path) -> str:
    """A file's text, its line ends kept. Raises Failure in one sentence if it cannot be had."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise Failure(f"cannot read {path}: {error.strerror or error}") from None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Failure(
            f"{path} is not UTF-8 (byte {error.start}): convert it, or complete it in an editor that knows its encoding"
        ) from None


def language_of(path: Path) -> str:
    """The LSP language id of a file, by its extension; `plaintext` if unknown."""
    return LANGUAGES.get(path.suffix.lower(), "plaintext")
