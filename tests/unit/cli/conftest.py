"""Runs the command line as a user does: in a process of its own, with a home of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))  # tests/, where `support` lives

from support.api_server import ScriptedApi
from support.lsp_client import LIMIT, SERVER, Run, private_environment


@pytest.fixture
def api() -> Iterator[ScriptedApi]:
    with ScriptedApi() as api:
        yield api


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """The folder that commands run in; a repository, so that nothing above it counts."""
    folder = tmp_path / "work"
    (folder / ".git").mkdir(parents=True)
    return folder


@pytest.fixture
def run(tmp_path: Path, work: Path, api: ScriptedApi) -> Run:
    """`run("complete", "a.py:1:1", NAME="value")`: codestral-ls in `work`, asking `api`.

    Variables of None are left out.
    """

    def run(*arguments: str, **variables: str | None) -> subprocess.CompletedProcess[str]:
        given = {"MISTRAL_API_KEY": api.key, "CODESTRAL_LS_BASE_URL": api.url, **variables}
        kept = {name: value for name, value in given.items() if value is not None}
        return subprocess.run(
            [*SERVER, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            env=private_environment(tmp_path, kept),
            cwd=work,
            timeout=2 * LIMIT,
            check=False,
        )

    return run
