"""Tables of shaping cases from outside the repository, where `CODESTRAL_LS_SHAPE_CASES` names a folder of them.

A table is a JSON list of objects: `prefix`, `suffix`, `answer`, `language`, and `expected`, null for nothing.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from completion_helpers import ask

from codestral_ls.completion import prompt
from codestral_ls.completion.shape import Shape
from codestral_ls.completion.types import Trigger

FOLDER = os.environ.get("CODESTRAL_LS_SHAPE_CASES")
CASES: list[dict[str, Any]] = [
    case
    for path in sorted(Path(FOLDER).glob("*.json") if FOLDER else ())
    for case in json.loads(path.read_text("utf-8"))
]
NEED_A_REPLACED_LINE = {"unmodified-55", "unmodified-79"}


@pytest.mark.skipif(not CASES, reason="CODESTRAL_LS_SHAPE_CASES names no folder of tables")
@pytest.mark.parametrize("eol", ["\n", "\r\n"], ids=["LF", "CRLF"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_a_table(case: dict[str, Any], eol: str) -> None:
    if case["id"] in NEED_A_REPLACED_LINE:
        pytest.xfail("the rest of the line would have to be replaced")
    prefix, suffix = (re.sub(r"\r\n|\r|\n", eol, case[part]) for part in ("prefix", "suffix"))
    question = ask(f"{prefix}¦{suffix}", trigger=Trigger.INVOKED, language=case["language"])
    shape = Shape(prompt.place(question))
    shape.feed(case["answer"])
    shape.finish()
    assert _comparable(shape.text) == _comparable(case["expected"] or "")


def _comparable(text: str) -> str:
    return re.sub(r"[ \t\r]+(?=\n|$)", "", text).rstrip()
