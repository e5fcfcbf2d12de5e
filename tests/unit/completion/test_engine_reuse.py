"""What is known is answered without asking again: exact, typed along, deleted back, accepted in parts."""

from __future__ import annotations

import asyncio

import pytest
from completion_helpers import Bench, shown, with_engine

from codestral_ls.api.errors import Overloaded
from codestral_ls.completion.types import Origin, Trigger

BLOCK = "total = 0\n    for item in items:\n        total += item\n    return total"
INTO = "def add(items):\n    {}¦\n"


@pytest.mark.parametrize(
    ("typed", "left"),
    [
        pytest.param("", BLOCK, id="exact"),
        pytest.param("t", BLOCK[1:], id="one key"),
        pytest.param("total ", BLOCK[6:], id="a word accepted"),
        pytest.param(BLOCK[:9], BLOCK[9:], id="a line accepted"),
        pytest.param(BLOCK[:10], BLOCK[10:], id="a line and its end"),
        pytest.param(BLOCK[:40], BLOCK[40:], id="into the third line"),
        pytest.param(BLOCK[:-1], BLOCK[-1:], id="all but the last character"),
    ],
)
@pytest.mark.parametrize("eol", ["\n", "\r\n"])
def test_what_is_typed_along_costs_nothing(typed: str, left: str, eol: str) -> None:
    def lines(text: str) -> str:
        return text.replace("\n", eol)

    async def test(bench: Bench) -> None:
        assert await bench.text(lines(INTO.format(""))) == lines(BLOCK)
        outcome = await bench.suggest(lines(INTO.format(typed)))
        assert shown(outcome) == lines(left)
        assert outcome.suggestions[0].origin is Origin.KNOWN
        assert bench.requests == 1

    with_engine(test, [BLOCK])


def test_deleting_back_into_a_suggestion_shows_it_again() -> None:
    async def test(bench: Bench) -> None:
        for typed in ("", "t", "to", "tot", "to", "t", ""):
            assert await bench.text(INTO.format(typed)) == BLOCK[len(typed) :]
        assert bench.requests == 1

    with_engine(test, [BLOCK])


def test_deleting_to_before_the_place_asks_anew() -> None:
    async def test(bench: Bench) -> None:
        assert await bench.text("value = co¦") == "mpute()"
        assert await bench.text("value = c¦") == "ompute(1)"
        assert bench.requests == 2

    with_engine(test, ["mpute()"], ["ompute(1)"])


def test_accepting_all_of_it_asks_for_the_next() -> None:
    async def test(bench: Bench) -> None:
        assert await bench.text("a = ¦") == "first()"
        assert await bench.text("a = first()¦") == " + second()"
        assert bench.requests == 2

    with_engine(test, ["first()"], [" + second()"])


def test_typing_against_a_suggestion_asks_anew() -> None:
    async def test(bench: Bench) -> None:
        assert await bench.text("a = ¦") == "first()"
        assert await bench.text("a = x¦") == "_second()"
        assert bench.requests == 2

    with_engine(test, ["first()"], ["_second()"])


def test_the_same_state_gives_the_same_text_whatever_was_asked_between() -> None:
    async def test(bench: Bench) -> None:
        first = await bench.text("a = ¦")
        await bench.text("a = x¦")
        await bench.text("a = f¦")
        assert await bench.text("a = ¦") == first == "first()"
        assert bench.requests == 2

    with_engine(test, ["first()"], ["second()"])


def test_a_change_right_after_the_cursor_is_another_place() -> None:
    async def test(bench: Bench) -> None:
        await bench.suggest("f(¦)")
        await bench.suggest("f(¦))")
        await bench.suggest("f(¦")
        assert bench.requests == 3

    with_engine(test, ["a"])


def test_a_change_far_below_is_no_other_place() -> None:
    async def test(bench: Bench) -> None:
        near = "\n" + "# one line of sixty-four characters and more, all of it below it\n"
        await bench.suggest("a = ¦" + near + "b = 1\n")
        assert await bench.text("a = ¦" + near + "b = 2\n") == "first()"
        assert bench.requests == 1

    with_engine(test, ["first()"])


def test_a_change_far_above_is_no_other_place() -> None:
    async def test(bench: Bench) -> None:
        near = "# thirty characters of comment\n" * 10
        await bench.suggest("x = 1\n" + near + "a = ¦")
        assert await bench.text("x = 222\n" + near + "a = f¦") == "irst()"
        assert bench.requests == 1

    with_engine(test, ["first()"])


def test_the_same_text_further_down_is_told_apart() -> None:
    async def test(bench: Bench) -> None:
        await bench.suggest("a = ¦")
        assert await bench.text("a = first()\na = ¦") == "second()"
        assert bench.requests == 2

    with_engine(test, ["first()"], ["second()"])


def test_two_documents_do_not_mix() -> None:
    async def test(bench: Bench) -> None:
        assert await bench.text("a = ¦", uri="file:///one.py") == "first()"
        assert await bench.text("a = ¦", uri="file:///two.py") == "second()"
        assert await bench.text("a = f¦", uri="file:///one.py") == "irst()"
        assert bench.requests == 2

    with_engine(test, ["first()"], ["second()"])


@pytest.mark.parametrize(
    "changed",
    [
        {"fim_model": "codestral-2508"},
        {"temperature": 0.7},
        {"top_p": 0.9},
        {"max_tokens": 10},
        {"stop": (";",)},
        {"multiline": "always"},
        {"prefix_chars": 2},
        {"suffix_chars": 1},
        {"language": "ruby"},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_what_an_answer_depends_on_is_part_of_the_key(changed: dict[str, object]) -> None:
    async def test(bench: Bench) -> None:
        await bench.suggest("a = ¦")
        await bench.suggest("a = ¦", **changed)
        assert bench.requests == 2

    with_engine(test, ["first()"])


def test_what_an_answer_does_not_depend_on_is_no_part_of_the_key() -> None:
    async def test(bench: Bench) -> None:
        await bench.suggest("a = ¦")
        await bench.suggest("a = ¦", debounce_ms=20.0, log_level="debug", waited_ms=40.0)
        assert bench.requests == 1

    with_engine(test, ["first()"])


def test_a_failure_is_never_known() -> None:
    async def test(bench: Bench) -> None:
        assert (await bench.suggest("a = ¦", trigger=Trigger.INVOKED)).error is not None
        assert await bench.text("a = ¦", trigger=Trigger.INVOKED) == "first()"

    with_engine(test, *[[Overloaded("full")]] * 3, ["first()"])


def test_that_nothing_belongs_here_is_known_for_keys_but_not_for_a_gesture() -> None:
    async def test(bench: Bench) -> None:
        for _ in range(2):
            outcome = await bench.suggest("a = ¦")
            assert outcome.suggestions == ()
            assert outcome.why == "the model has nothing to add here"
        assert bench.requests == 1
        assert await bench.text("a = ¦", trigger=Trigger.INVOKED) == "first()"
        assert bench.requests == 2

    with_engine(test, [" \n"], ["first()"])


def test_a_gesture_asks_for_lines_where_one_line_is_known() -> None:
    async def test(bench: Bench) -> None:
        assert await bench.text("a = ¦") == "f("
        assert await bench.text("a = ¦", trigger=Trigger.INVOKED) == "f(\n    1,\n)"
        assert await bench.text("a = ¦") == "f(\n    1,\n)"
        assert bench.requests == 2

    with_engine(test, ["f("], ["f(\n    1,\n)"])


def test_a_blank_remainder_is_not_shown_but_asked_beyond() -> None:
    async def test(bench: Bench) -> None:
        assert await bench.text("items = [¦]", multiline="always") == "\n    1,\n"
        assert await bench.text("items = [\n    1,¦]", multiline="always") == "\n    2,\n"

    with_engine(test, ["\n    1,\n"], ["\n    2,\n"])


def test_known_suggestions_expire_after_ten_minutes() -> None:
    async def test(bench: Bench) -> None:
        await bench.suggest("a = ¦")
        await asyncio.sleep(599)
        await bench.suggest("a = ¦")
        assert bench.requests == 1
        await asyncio.sleep(2)
        await bench.suggest("a = ¦")
        assert bench.requests == 2

    with_engine(test, ["first()"])


def test_the_number_of_known_suggestions_is_bounded() -> None:
    async def test(bench: Bench) -> None:
        for number in range(101):
            await bench.suggest(f"a{number} = ¦")
        await bench.suggest("a100 = ¦")
        assert bench.requests == 101
        await bench.suggest("a0 = ¦")
        assert bench.requests == 102

    with_engine(test, ["first()"])
