"""What the tests with real editors share: the scripted API, an editor per test, and what is kept of a failed one."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))  # tests/, where `support` lives

from nvim_driver import (
    REPOSITORY,
    Neovim,
    Program,
    Sandbox,
    StartNeovim,
    StartTerminal,
    TerminalNeovim,
    find_neovim,
)
from support.api_server import ScriptedApi

ARTIFACTS = REPOSITORY / "artifacts"

_FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    item.stash[_FAILED] = item.stash.get(_FAILED, False) or report.failed
    return report


@pytest.fixture(scope="session")
def neovim_program() -> Program:
    program = find_neovim()
    if program is None:
        pytest.skip("no Neovim 0.12 or later here: `make editors` fetches one")
    return program


@pytest.fixture
def api() -> Iterator[ScriptedApi]:
    with ScriptedApi() as api:
        yield api


@pytest.fixture
def sandbox(api: ScriptedApi, neovim_program: Program, tmp_path: Path) -> Sandbox:
    """A home whose server talks to `api` with the right key, and waits for it longer than any test does."""
    variables = {
        "MISTRAL_API_KEY": api.key,
        "CODESTRAL_LS_BASE_URL": api.url,
        "CODESTRAL_LS_TIMEOUT_MS": "60000",
    }
    (tmp_path / ".git").mkdir()  # the root, so that nothing above it is looked at
    return Sandbox(tmp_path, neovim_program, variables)


@pytest.fixture
def start_neovim(request: pytest.FixtureRequest, sandbox: Sandbox, api: ScriptedApi) -> Iterator[StartNeovim]:
    """Starts a Neovim with the given Lua configuration. Ends it after the test; a failed one leaves artefacts."""
    started: list[Neovim] = []

    def start(init: str) -> Neovim:
        started.append(Neovim(sandbox, init))
        return started[-1]

    yield start
    for editor in started:
        if request.node.stash.get(_FAILED, False):
            keep_artifacts(request.node.name, sandbox, api, editor.screen, editor.messages)
        messages = editor.messages()
        editor.close()
        assert "stack traceback" not in messages, messages  # how Neovim shows an error in Lua


@pytest.fixture
def start_terminal(request: pytest.FixtureRequest, sandbox: Sandbox, api: ScriptedApi) -> Iterator[StartTerminal]:
    """Starts a Neovim in a terminal on a file. Ends it after the test; a failed one leaves artefacts."""
    started: list[TerminalNeovim] = []

    def start(init: str, path: Path) -> TerminalNeovim:
        started.append(TerminalNeovim(sandbox, init, path))
        return started[-1]

    yield start
    for terminal in started:
        if request.node.stash.get(_FAILED, False):
            keep_artifacts(request.node.name, sandbox, api, terminal.screen)
        terminal.close()


def keep_artifacts(test: str, sandbox: Sandbox, api: ScriptedApi, *views: Callable[[], str]) -> None:
    """Puts the trace, the editor's log, what the API was asked and the views under artifacts/, named after the test."""
    folder = ARTIFACTS / re.sub(r"[^\w.-]+", "_", test)
    folder.mkdir(parents=True, exist_ok=True)
    for source in (sandbox.trace, sandbox.lsp_log):
        if source.exists():
            (folder / source.name).write_bytes(source.read_bytes())
    asked = "\n".join(f"{request.method} {request.path} {request.body!r}" for request in api.requests)
    (folder / "api.txt").write_text(asked + "\n", encoding="utf-8")
    for number, view in enumerate(views, 1):
        try:
            text = view()
        except Exception as error:  # noqa: BLE001 - an editor that died must not hide why the test failed
            text = f"no view: {error!r}"
        (folder / f"screen{number}.txt").write_text(text + "\n", encoding="utf-8")
