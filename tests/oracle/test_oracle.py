"""Our documents against the npm package `vscode-languageserver-textdocument`, the reference for UTF-16 positions."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from text_models import joined, lines_of, random_edit, random_text

from codestral_ls.text.columns import PositionEncoding, units
from codestral_ls.text.document import Document, Edit, Position
from codestral_ls.text.rope import Rope

HERE = Path(__file__).parent
EDITS = 10_000
LONGEST = 600
UTF16 = PositionEncoding.UTF16


@dataclass(frozen=True)
class Step:
    """One change notification: what we made of it, and what the oracle made of the same."""

    request: dict[str, Any]
    rope: Rope
    reply: dict[str, Any]


@pytest.fixture(scope="module")
def steps() -> list[Step]:
    if shutil.which("node") is None or not (HERE / "node_modules").is_dir():
        pytest.skip("needs node and the oracle's package: run `make oracle` (npm ci --prefix tests/oracle)")
    ours = _our_steps(random.Random("oracle"))
    run = subprocess.run(
        ["node", str(HERE / "oracle.js")],
        input="".join(json.dumps(request) + "\n" for request, _ in ours),
        capture_output=True,
        encoding="utf-8",
        timeout=100,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    replies = [json.loads(line) for line in run.stdout.rstrip("\n").split("\n")]
    return [Step(request, rope, reply) for (request, rope), reply in zip(ours, replies, strict=True)]


def test_ten_thousand_edits_leave_the_text_that_the_oracle_has(steps):
    assert sum(len(step.request["changes"]) for step in steps) >= EDITS
    for step in steps:
        assert str(step.rope) == step.reply["text"], step.request


def test_positions_are_the_offsets_that_the_oracle_finds(steps):
    for step in steps:
        for position, expected in zip(step.request["positions"], step.reply["offsets"], strict=True):
            offset, inside = step.rope.locate(position["line"], position["character"], UTF16)
            assert units(step.rope.slice(0, offset), UTF16) + inside == expected, (step.request, position)


def test_offsets_are_the_positions_that_the_oracle_finds(steps):
    for step in steps:
        text = str(step.rope)
        for place, expected in zip(step.request["offsets"], step.reply["positions"], strict=True):
            offset = len(text.encode("utf-16-le", "surrogatepass")[: place * 2].decode("utf-16-le", "surrogatepass"))
            assert list(step.rope.position_at(offset, UTF16)) == expected, (step.request, place)


def test_the_lines_are_as_many_as_the_oracle_counts(steps):
    for step in steps:
        assert step.rope.line_count == step.reply["lineCount"], step.request


def test_a_range_below_the_last_line_is_clamped_also_for_what_follows():
    # The oracle (1.0.16) deviates here: after this edit of the text "a" it counts 7 lines, and the offset of 1:1 is
    # NaN, because it writes the new line into its table at the line asked for. The protocol clamps; so do we.
    document = Document("file:///a", "text", 0, Rope.of("a"))
    document.apply([Edit((5, 0), (6, 0), "\nb")], 1, UTF16)
    rope = document.snapshot().text
    assert (str(rope), rope.line_count, rope.offset_at(1, 1, UTF16)) == ("a\nb", 2, 3)


def _our_steps(rng: random.Random) -> list[tuple[dict[str, Any], Rope]]:
    """Change notifications of one to three edits each on one document, with questions about the text after each."""
    document = Document("file:///a", "text", 0, Rope.of(joined(random_text(rng, 200)), leaf_size=6, fan_out=4))
    steps = []
    edits = version = 0
    while edits < EDITS:
        version += 1
        before = str(document.snapshot().text)
        changes = []
        for _ in range(rng.randint(1, 3)):
            text = str(document.snapshot().text)
            edit = random_edit(rng, text, UTF16)
            if len(text) > LONGEST:
                edit = Edit((2, 0), (len(lines_of(text)) - 3, 0), edit.text)
            elif rng.random() < 0.002:
                edit = Edit(None, None, random_text(rng, 200))
            document.apply([edit], version, UTF16)
            changes.append(_change(edit))
        edits += len(changes)
        rope = document.snapshot().text
        request = {
            "text": before,
            "changes": changes,
            "positions": [_position(_random_position(rng, rope)) for _ in range(4)],
            "offsets": _places_at_characters(rng, rope),
        }
        steps.append((request, rope))
    return steps


def _random_position(rng: random.Random, rope: Rope) -> Position:
    line = rng.randint(-1, rope.line_count)
    return line, rng.choice([rng.randint(-1, 12), units(rope.line_text(line), UTF16), 2**31 - 1])


def _places_at_characters(rng: random.Random, rope: Rope) -> list[int]:
    """UTF-16 offsets that no surrogate pair lies across: there is no position of ours within one."""
    text = str(rope)
    return [units(text[: rng.randint(0, len(text))], UTF16) for _ in range(4)]


def _position(position: Position) -> dict[str, int]:
    return {"line": position[0], "character": position[1]}


def _change(edit: Edit) -> dict[str, Any]:
    if edit.start is None or edit.end is None:
        return {"text": edit.text}
    return {"range": {"start": _position(edit.start), "end": _position(edit.end)}, "text": edit.text}
