"""Whether to complete at all: what each rule refuses, what it lets pass, and that a gesture opens all but privacy."""

from __future__ import annotations

import pytest
from completion_helpers import ask

from codestral_ls.completion.gate import refuse
from codestral_ls.completion.types import Trigger

REFUSED = [
    pytest.param("a = ¦b", {}, "the cursor is inside a word", id="before a letter"),
    pytest.param("a = x¦1", {}, "the cursor is inside a word", id="before a digit"),
    pytest.param("a = x¦_y", {}, "the cursor is inside a word", id="before an underscore"),
    pytest.param("größe = gr¦öße", {}, "the cursor is inside a word", id="before a letter beyond ASCII"),
    pytest.param("a = ¦ + b", {}, "there is text after the cursor", id="before an operator"),
    pytest.param("a = ¦)b", {}, "there is text after the cursor", id="before a closer and a word"),
    pytest.param("a = ¦);;", {}, "there is text after the cursor", id="before two signs"),
    pytest.param("a = ¦(b)", {}, "there is text after the cursor", id="before an opener"),
    pytest.param("a = ¦" + " " * 201, {}, "there is text after the cursor", id="before a long blank rest"),
    pytest.param("a = ¦", {"enabled": False}, "completions are disabled for python", id="disabled"),
    pytest.param(
        "a = ¦",
        {"enabled": False, "language": ""},
        "completions are disabled for this language",
        id="disabled, no name",
    ),
    pytest.param("a = ¦", {"settings_trigger": "manual"}, "the trigger is manual", id="manual"),
]

PASSED = [
    pytest.param("a = ¦", id="at the end"),
    pytest.param("a = ¦\nb", id="before a line end"),
    pytest.param("a = ¦\r\nb", id="before CRLF"),
    pytest.param("a = ¦\rb", id="before CR"),
    pytest.param("¦", id="in an empty document"),
    pytest.param("a = f(¦)", id="before a closer"),
    pytest.param("a = f(¦)]}>\"'`", id="before many closers"),
    pytest.param("a = f(¦);", id="before a closer and a semicolon"),
    pytest.param("def f(¦):\n", id="before a closer and a colon"),
    pytest.param("if (a¦) {", id="before a closer and a brace"),
    pytest.param("f(¦ , ", id="before a comma with space"),
    pytest.param("a = ¦" + " " * 200, id="before 200 blanks"),
]


@pytest.mark.parametrize(("marked", "rest", "why"), REFUSED)
def test_an_automatic_completion_is_refused(marked: str, rest: dict[str, object], why: str) -> None:
    assert refuse(_ask(marked, Trigger.AUTOMATIC, **rest)) == why


@pytest.mark.parametrize("marked", PASSED)
def test_an_automatic_completion_passes(marked: str) -> None:
    assert refuse(_ask(marked, Trigger.AUTOMATIC)) is None


@pytest.mark.parametrize(("marked", "rest", "why"), REFUSED)
def test_a_gesture_passes_every_gate(marked: str, rest: dict[str, object], why: str) -> None:
    assert refuse(_ask(marked, Trigger.INVOKED, **rest)) is None


@pytest.mark.parametrize("trigger", list(Trigger))
def test_nobody_passes_the_gate_of_privacy(trigger: Trigger) -> None:
    assert refuse(_ask("a = ¦", trigger, excluded="the file is excluded by .env*")) == "the file is excluded by .env*"


def _ask(marked: str, trigger: Trigger, settings_trigger: str = "auto", **rest: object):
    from codestral_ls.settings import Settings

    settings = Settings(enabled=bool(rest.pop("enabled", True)), trigger=settings_trigger)  # type: ignore[arg-type]
    return ask(marked, trigger=trigger, settings=settings, **rest)  # type: ignore[arg-type]
