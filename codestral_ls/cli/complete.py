"""`codestral-ls complete FILE:LINE:COLUMN`: one completion through the same engine as the server's, printed."""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import time
from pathlib import Path

from codestral_ls.api.access import is_sandbox, open_client
from codestral_ls.api.sandbox import NOTICE
from codestral_ls.cli.failure import Failure
from codestral_ls.cli.place import MOST_SHOWN, is_count
from codestral_ls.cli.workspace import Workspace, language_of, open_workspace, read_text, say_problems
from codestral_ls.completion.engine import Engine
from codestral_ls.completion.types import Ask, Outcome, Trigger
from codestral_ls.context.privacy import excluded_file
from codestral_ls.settings.paths import state_dir
from codestral_ls.text.document import Snapshot
from codestral_ls.text.rope import Rope


def run(place: str, *, as_json: bool) -> int:
    """Prints the completion, or everything about it as JSON; 1 if there is none."""
    path, line, column = _parse(place)
    text = Rope.of(read_text(path))
    if line > text.line_count:
        raise Failure(f"{path} has {text.line_count} lines, no line {line}")
    start, end = text.line_start(line - 1), text.line_end(line - 1)
    if start + column - 1 > end:
        raise Failure(f"line {line} of {path} has {end - start} characters, no column {column}")
    workspace = open_workspace(path.resolve())
    say_problems(workspace.loaded.problems)
    absolute = path.resolve()
    snapshot = Snapshot(absolute.as_uri(), language_of(path), None, text)
    outcome, host = asyncio.run(_ask(workspace, snapshot, start + column - 1, absolute))
    if as_json:
        print(json.dumps(_report(outcome, host, workspace), indent=2))
    elif outcome.suggestions:
        print(outcome.suggestions[0].text)
    if is_sandbox(workspace.loaded.settings):
        print(f"codestral-ls: {NOTICE}", file=sys.stderr)
    if outcome.suggestions:
        return 0
    if outcome.error is not None and outcome.error.kind == "no-key" and workspace.keys.problems:
        # A source that failed is what is to be mended; "there is no key" would hide it.
        raise Failure(workspace.keys.problems[0].message)
    raise Failure(outcome.why or "there is no completion here")


async def _ask(workspace: Workspace, snapshot: Snapshot, offset: int, path: Path) -> tuple[Outcome, str]:
    settings = workspace.loaded.settings.for_language(snapshot.language)
    client = open_client(settings, workspace.keys, os.environ, state_dir(), refused=workspace.loaded.refused)
    engine = Engine(client, time.monotonic, random.random)
    reason = excluded_file(path, [workspace.root], settings.exclude)
    try:
        outcome = await engine.suggest(Ask(snapshot, offset, Trigger.INVOKED, settings, 0.0, reason))
    finally:
        await engine.aclose()
        await client.aclose()
    return outcome, client.host


def _report(outcome: Outcome, host: str, workspace: Workspace) -> dict[str, object]:
    request, usage = outcome.request, outcome.usage
    return {
        "text": outcome.suggestions[0].text if outcome.suggestions else None,
        "why": outcome.why,
        "error": outcome.error.kind if outcome.error else None,
        "sandbox": is_sandbox(workspace.loaded.settings),
        "host": host,
        "request": None if request is None else json.loads(request.body()),
        "timing_ms": {
            "waited": outcome.waited_ms,
            "first_text": outcome.first_text_ms,
            "total": outcome.total_ms,
        },
        "tokens": None
        if usage is None
        else {"prompt": usage.prompt_tokens, "completion": usage.completion_tokens, "cached": usage.cached_tokens},
    }


def _parse(place: str) -> tuple[Path, int, int]:
    parts = place.rsplit(":", 2)
    if len(parts) != 3 or not parts[0] or not all(map(is_count, parts[1:])):
        raise Failure(f"complete takes FILE:LINE:COLUMN, not {place[:MOST_SHOWN]}", code=2)
    line, column = int(parts[1]), int(parts[2])
    if line < 1 or column < 1:
        raise Failure("lines and columns count from 1", code=2)
    return Path(parts[0]), line, column
