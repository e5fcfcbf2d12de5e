"""Anchors: found again behind what was typed, told apart from places that look alike, at a bounded cost."""

from __future__ import annotations

import pytest

from codestral_ls.completion.reuse import HEAD_CHARS, LONGEST_TYPED, MOST_OCCURRENCES, TAIL_CHARS, Anchor
from codestral_ls.completion.types import Place

FAR = "".join(f"line {number}\n" for number in range(100))


def place(before: str, after: str = "") -> Place:
    return Place(before, after, "python", "\n", multiline=False)


def typed(anchor: Anchor, now: Place, text: str = "compute()") -> str | None:
    return anchor.typed_until("scope", now, text.startswith)


@pytest.mark.parametrize("above", ["", FAR], ids=["short", "long"])
@pytest.mark.parametrize("along", ["", "c", "compute()"])
def test_what_was_typed_since_is_found(above: str, along: str) -> None:
    anchor = Anchor.of("scope", place(above + "a = "))
    assert typed(anchor, place(above + "a = " + along)) == along


@pytest.mark.parametrize("above", ["", FAR], ids=["short", "long"])
@pytest.mark.parametrize("now", ["a = x", "a =", "b = ", ""])
def test_another_place_is_not(above: str, now: str) -> None:
    anchor = Anchor.of("scope", place(above + "a = "))
    assert typed(anchor, place(above + now)) is None


def test_nothing_is_found_in_another_scope() -> None:
    anchor = Anchor.of("scope", place("a = "))
    assert anchor.typed_until("other", place("a = "), "".startswith) is None


def test_only_so_much_before_the_cursor_counts() -> None:
    tail = "x" * (TAIL_CHARS - 1) + "="
    anchor = Anchor.of("scope", place("old " + tail))
    assert typed(anchor, place("new and longer " + tail + "c")) == "c"
    assert typed(anchor, place("old y" + tail[1:] + "c")) is None


def test_what_stands_further_above_may_go() -> None:
    tail = "x" * (TAIL_CHARS - 1) + "="
    anchor = Anchor.of("scope", place("old " + tail))
    assert typed(anchor, place(tail + "c")) == "c"


def test_a_text_without_the_tail_is_not_found_although_its_end_agrees() -> None:
    anchor = Anchor.of("scope", place("old " + "x" * TAIL_CHARS))
    now = "y" * (TAIL_CHARS - 1) + "comp"
    assert typed(anchor, place(now)) is None


def test_a_text_that_was_the_whole_beginning_stays_the_beginning() -> None:
    anchor = Anchor.of("scope", place("a = "))
    assert typed(anchor, place("b = 1; a = ")) is None


def test_only_so_much_after_the_cursor_counts() -> None:
    head = ")" + "y" * (HEAD_CHARS - 1)
    anchor = Anchor.of("scope", place("f(", head + "old"))
    assert typed(anchor, place("f(", head + "new and longer")) == ""
    assert typed(anchor, place("f(", ")" + head)) is None


def test_an_end_of_the_text_is_an_end() -> None:
    anchor = Anchor.of("scope", place("f(", ")"))
    assert typed(anchor, place("f(", ")")) == ""
    assert typed(anchor, place("f(", ")\n")) is None
    assert typed(anchor, place("f(", "")) is None


def test_of_places_that_look_alike_the_one_that_agrees_is_found() -> None:
    tail = "=" * TAIL_CHARS
    anchor = Anchor.of("scope", place("#" + tail))
    assert typed(anchor, place("#" + tail + "==x"), "==x") == "==x"


def test_what_was_typed_is_bounded() -> None:
    anchor = Anchor.of("scope", place(FAR))
    most = "x" * LONGEST_TYPED
    assert typed(anchor, place(FAR + most), most) == most
    assert typed(anchor, place(FAR + most + "x"), most + "x") is None


def test_a_line_of_one_sign_costs_no_more() -> None:
    asked = 0

    def agrees(_: str) -> bool:
        nonlocal asked
        asked += 1
        return False

    Anchor.of("scope", place("a" * 1000)).typed_until("scope", place("a" * 12_000), agrees)
    assert asked == MOST_OCCURRENCES
