"""`codestral-ls doctor`: one check a line, each with the mend."""

from __future__ import annotations

import asyncio
import json
import os
import platform
import shutil
import sys
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import asdict, dataclass

from codestral_ls import __version__
from codestral_ls.api.access import is_sandbox, open_client
from codestral_ls.api.client import Client, Timeouts
from codestral_ls.api.errors import ApiError
from codestral_ls.api.sandbox import NOTICE
from codestral_ls.api.wire import FimRequest
from codestral_ls.cli.workspace import Workspace, here, open_workspace
from codestral_ls.settings.paths import config_dir, state_dir, user_config_path

OLDEST_PYTHON = (3, 10)
EDITORS = ("nvim", "hx", "emacs", "code", "codium", "zed", "kate", "subl", "vim")
CHECK_MS = 10_000.0
MOST_CLOCK_SKEW_SECONDS = 300.0
"""Certificates and HTTP dates are judged by the clock; five minutes is what most servers forgive."""


@dataclass(frozen=True)
class Check:
    """One thing looked at. `state`: ok, note (nothing wrong, but worth knowing) or failed."""

    name: str
    state: str
    text: str


def run(*, as_json: bool) -> int:
    """Prints the checks; 1 if any failed."""
    checks = asyncio.run(_checks(print_them=not as_json))
    if as_json:
        print(json.dumps([asdict(check) for check in checks], indent=2))
    return 1 if any(check.state == "failed" for check in checks) else 0


async def _checks(*, print_them: bool) -> list[Check]:
    checks = []
    async for check in _all(open_workspace(here())):
        checks.append(check)
        if print_them:
            sign = {"ok": "ok  ", "note": "note", "failed": "FAIL"}[check.state]
            print(f"{sign}  {check.name}: {check.text}", flush=True)
    return checks


async def _all(workspace: Workspace) -> AsyncIterator[Check]:
    yield _python()
    for check in _settings(workspace):
        yield check
    key = await asyncio.to_thread(workspace.keys.reload)
    for problem in workspace.keys.problems:
        yield Check("key", "failed", problem.message)
    settings = workspace.loaded.settings
    if is_sandbox(settings):
        yield Check("key", "ok", "none needed: " + NOTICE)
    elif key is not None:
        yield Check("key", "ok", f"found: {key.source}")
    else:
        # Mistral's hosts fail without one, and the next check says so with the mend.
        yield Check("key", "note", "none found")
    client = open_client(settings, workspace.keys, os.environ, state_dir(), refused=workspace.loaded.refused)
    try:
        async for check in _api(client, settings.fim_model):
            yield check
    finally:
        await client.aclose()
    found = [name for name in EDITORS if shutil.which(name)]
    yield Check("editors", "ok" if found else "note", ", ".join(found) or "none of the known ones on PATH")
    yield Check("folders", "ok", f"config {config_dir()}, state {state_dir()}")


def _python() -> Check:
    version = f"codestral-ls {__version__}, Python {platform.python_version()} at {sys.executable}"
    if sys.version_info < OLDEST_PYTHON:
        return Check("python", "failed", version + ": install Python 3.10 or later")
    return Check("python", "ok", version)


def _settings(workspace: Workspace) -> list[Check]:
    config = user_config_path()
    there = "read" if config.exists() else "not there, which is fine"
    checks = [Check("settings", "ok", f"{config} ({there}); workspace {workspace.root}")]
    sources: dict[str, list[str]] = {}
    for name, source in workspace.loaded.sources.items():
        if source != "default":
            sources.setdefault(source, []).append(name)
    checks += [Check("settings", "ok", f"{', '.join(names)} from {source}") for source, names in sources.items()]
    settings = workspace.loaded.settings
    if not settings.enabled or settings.trigger == "manual":
        silent = "enabled is false" if not settings.enabled else "trigger is manual"
        checks.append(Check("settings", "note", f"{silent}: completions come only when you ask for one"))
    for problem in workspace.loaded.problems:
        checks.append(Check("settings", "failed" if problem.level == "error" else "note", problem.message))
    return checks


async def _api(client: Client, model: str) -> AsyncIterator[Check]:
    try:
        started = time.monotonic()
        models = await client.models(Timeouts.of(CHECK_MS))
        took = (time.monotonic() - started) * 1000
        yield Check("host", "ok", f"{client.host} answers in {took:.0f} ms")
    except ApiError as error:
        yield Check("host", "failed", str(error))
        return
    if client.limits is not None and client.limits.requests is not None:
        left = client.limits.requests_left
        rest = "" if left is None else f", {left} left in this one"
        yield Check("quota", "ok", f"{client.limits.requests} requests a minute{rest}")
    skew = client.clock_skew_seconds
    if skew is not None:
        state = "ok" if abs(skew) < MOST_CLOCK_SKEW_SECONDS else "failed"
        mend = "" if state == "ok" else ": set this machine's clock"
        yield Check("clock", state, f"{abs(skew):.0f} s off the host's{mend}")
    named = next((known for known in models if model == known.id or model in known.aliases), None)
    if named is not None and not named.fim:
        yield Check("model", "failed", f"{model} does not complete code: set fim_model, such as codestral-latest")
        return
    try:
        text = ""
        request = FimRequest(model, "def add(a, b):\n    return ", "\n", max_tokens=8, temperature=0, stop=["\n"])
        started = time.monotonic()
        async with aclosing(client.fim(request, Timeouts.of(CHECK_MS))) as answer:
            async for chunk in answer:
                text += chunk.text
        took = (time.monotonic() - started) * 1000
        yield Check("model", "ok", f"{model} completes code; an answer took {took:.0f} ms")
    except ApiError as error:
        yield Check("model", "failed", str(error))
