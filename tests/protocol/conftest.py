"""What the protocol tests share: a scripted API and servers that talk to it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))  # tests/, where `support` lives

from support.api_server import ScriptedApi
from support.lsp_client import LspClient, StartServer


@pytest.fixture
def api() -> Iterator[ScriptedApi]:
    """An API whose `script` is for each test to set."""
    with ScriptedApi() as api:
        yield api


@pytest.fixture
def start(tmp_path: Path, api: ScriptedApi) -> Iterator[StartServer]:
    """Starts a server that asks `api` with the right key: `start(variables, **options of LspClient)`.

    A variable of None is left out.
    """
    with ExitStack() as stack:

        def run(variables: dict[str, str | None] | None = None, **options: object) -> LspClient:
            given = {"MISTRAL_API_KEY": api.key, "CODESTRAL_LS_BASE_URL": api.url, **(variables or {})}
            kept = {name: value for name, value in given.items() if value is not None}
            return stack.enter_context(LspClient(tmp_path, kept, **options))  # type: ignore[arg-type]

        yield run
