"""Requests under way: joined, superseded, cancelled, timed out, and always closed."""

from __future__ import annotations

import asyncio
import itertools

import pytest
from completion_helpers import Bench, leave, shown, with_engine

from codestral_ls.api.client import Timeouts
from codestral_ls.api.errors import NonsenseAnswer, Overloaded, TimedOut, Unreachable
from codestral_ls.api.wire import Chunk, Usage
from codestral_ls.completion.flights import GRACE_SECONDS
from codestral_ls.completion.types import Origin, Trigger
from codestral_ls.settings.model import Timeouts as TimeoutSettings

SLOW = [0.5, "com", 0.1, "pute", 0.1, "(x)"]


def test_a_gate_sends_no_request() -> None:
    async def test(bench: Bench) -> None:
        outcome = await bench.suggest("a = ¦b")
        assert outcome.suggestions == ()
        assert outcome.why == "the cursor is inside a word"
        assert bench.requests == 0

    with_engine(test)


def test_the_outcome_tells_what_was_asked_and_how_long_it_took() -> None:
    async def test(bench: Bench) -> None:
        outcome = await bench.suggest("a = ¦\nb = 2\n")
        assert shown(outcome) == "f()"
        assert outcome.suggestions[0].origin is Origin.API
        assert outcome.request is not None
        assert (outcome.request.prompt, outcome.request.suffix) == ("a = ", "\nb = 2\n")
        assert outcome.first_text_ms == pytest.approx(300)
        assert outcome.total_ms == pytest.approx(500)
        assert outcome.usage == Usage(7, 2)

    with_engine(test, [0.3, "f", 0.2, Chunk("()", "stop", Usage(7, 2))])


@pytest.mark.parametrize("typed", ["", "c", "com", "comp", "compute(x"])
@pytest.mark.parametrize("after", [0.0, 0.55, 0.65], ids=["before text", "some text", "more text"])
def test_a_request_in_flight_is_joined_by_typing_along(typed: str, after: float) -> None:
    async def test(bench: Bench) -> None:
        first = bench.start("a = ¦")
        await asyncio.sleep(after)
        await leave(first)
        outcome = await bench.suggest(f"a = {typed}¦")
        assert shown(outcome) == "compute(x)"[len(typed) :]
        assert outcome.suggestions[0].origin is Origin.JOINED
        assert bench.requests == 1

    with_engine(test, SLOW)


def test_a_joined_answer_tells_what_the_one_request_was_and_cost() -> None:
    async def test(bench: Bench) -> None:
        first = bench.start("a = ¦")
        await asyncio.sleep(0.1)
        await leave(first)
        outcome = await bench.suggest("a = f¦")
        assert outcome.request is not None
        assert outcome.request.prompt == "a = "
        assert outcome.usage == Usage(7, 2)
        assert outcome.total_ms is not None

    with_engine(test, [0.3, Chunk("f()", "stop", Usage(7, 2))])


def test_joining_knows_a_doubled_space_that_is_not_shown() -> None:
    async def test(bench: Bench) -> None:
        first = bench.start("a = ¦")
        await asyncio.sleep(0.2)
        await leave(first)
        assert await bench.text("a = c¦") == "ompute()"
        assert bench.requests == 1

    with_engine(test, [0.1, " com", 0.2, "pute()"])


def test_typing_against_what_streams_ends_it_at_once_and_asks_anew() -> None:
    async def test(bench: Bench) -> None:
        first = bench.start("a = ¦")
        await asyncio.sleep(0.55)
        await leave(first)
        second = bench.start("a = x¦")
        await asyncio.sleep(0.01)
        assert bench.api.calls[0].closed_at == pytest.approx(0.55)
        assert shown(await second) == "_y"
        assert bench.requests == 2

    with_engine(test, SLOW, ["_y"])


def test_a_joined_stream_that_goes_another_way_is_left_for_a_request_of_its_own() -> None:
    async def test(bench: Bench) -> None:
        first = bench.start("a = ¦")
        await asyncio.sleep(0.1)
        await leave(first)
        second = bench.start("a = x¦")
        await asyncio.sleep(0.1)
        assert bench.requests == 1
        assert shown(await second) == "_y"
        assert bench.requests == 2
        assert bench.api.calls[0].closed_at == pytest.approx(0.5)

    with_engine(test, SLOW, ["_y"])


def test_a_flight_that_is_being_ended_is_joined_no_more() -> None:
    async def test(bench: Bench) -> None:
        first = bench.start("a = ¦")
        await leave_after(first, 0.55)
        against, along = bench.start("a = x¦"), bench.start("a = comp¦")
        assert shown(await against) == "_y"
        assert shown(await along) == "ute()"
        assert bench.requests == 3

    with_engine(test, SLOW, ["_y"], ["ute()"])


def test_typing_all_that_a_flight_brings_asks_for_what_comes_next() -> None:
    async def test(bench: Bench) -> None:
        first = bench.start("a = ¦")
        await asyncio.sleep(0.1)
        await leave(first)
        assert await bench.text("a = f()¦") == " + 1"
        assert bench.requests == 2

    with_engine(test, [0.3, "f()"], [" + 1"])


def test_joining_in_a_document_of_crlf_lines() -> None:
    async def test(bench: Bench) -> None:
        first = bench.start("def f():\r\n    ¦")
        await asyncio.sleep(0.2)
        await leave(first)
        assert await bench.text("def f():\r\n    a = 1\r\n    r¦") == "eturn a"
        assert bench.requests == 1

    with_engine(test, [0.1, "a = 1\n    re", 0.2, "turn a"])


def test_a_gesture_does_not_join_a_request_for_one_line() -> None:
    async def test(bench: Bench) -> None:
        first = bench.start("a = ¦")
        await asyncio.sleep(0.1)
        assert await bench.text("a = ¦", trigger=Trigger.INVOKED) == "f(\n    1,\n)"
        assert shown(await first) == "f("
        assert bench.requests == 2

    with_engine(test, [0.3, "f("], ["f(\n    1,\n)"])


def test_a_gesture_asks_itself_when_the_automatic_request_that_it_joined_fails() -> None:
    async def test(bench: Bench) -> None:
        first = bench.start("def f():\n    ¦")
        await asyncio.sleep(0.1)
        second = bench.start("def f():\n    ¦", trigger=Trigger.INVOKED)
        assert (await first).error is not None
        assert shown(await second) == "pass"
        assert bench.requests == 2

    with_engine(test, [0.3, Overloaded("full")], ["pass"])


def test_everybody_who_waits_is_answered() -> None:
    async def test(bench: Bench) -> None:
        waiting = [bench.start("a = ¦") for _ in range(3)] + [bench.start("a = c¦")]
        assert [shown(await task) for task in waiting] == ["compute(x)"] * 3 + ["ompute(x)"]
        assert bench.requests == 1

    with_engine(test, SLOW)


def test_two_equal_questions_in_their_pause_become_one_request() -> None:
    async def test(bench: Bench) -> None:
        first = bench.start("a = ¦", debounce_ms=100.0)
        await asyncio.sleep(0.05)
        second = bench.start("a = ¦", debounce_ms=100.0)
        assert shown(await first) == shown(await second) == "compute(x)"
        assert bench.requests == 1

    with_engine(test, SLOW)


def test_a_cancelled_question_is_gone_at_once_and_its_request_after_the_grace() -> None:
    async def test(bench: Bench) -> None:
        first = bench.start("a = ¦")
        await asyncio.sleep(0.1)
        await leave(first)
        assert bench.time() == pytest.approx(0.1)
        await asyncio.sleep(GRACE_SECONDS - 0.01)
        assert bench.api.open_calls == 1
        await asyncio.sleep(0.02)
        assert bench.api.calls[0].closed_at == pytest.approx(0.1 + GRACE_SECONDS)

    with_engine(test, SLOW)


def test_a_request_that_the_next_question_joins_outlives_the_grace() -> None:
    async def test(bench: Bench) -> None:
        first = bench.start("a = ¦")
        await leave_after(first, 0.1)
        second = bench.start("a = c¦")
        await asyncio.sleep(GRACE_SECONDS * 2)
        assert bench.api.open_calls == 1
        assert shown(await second) == "ompute(x)"

    with_engine(test, SLOW)


def test_each_time_that_the_last_one_leaves_the_grace_begins_anew() -> None:
    async def test(bench: Bench) -> None:
        await leave_after(bench.start("a = ¦"), 0.01)
        await asyncio.sleep(GRACE_SECONDS * 0.6)
        await leave_after(bench.start("a = ¦"), 0.01)
        await asyncio.sleep(GRACE_SECONDS * 0.6)
        assert shown(await bench.start("a = ¦")) == "compute(x)"
        assert bench.requests == 1

    with_engine(test, SLOW)


def test_one_of_two_who_wait_may_leave() -> None:
    async def test(bench: Bench) -> None:
        first, second = bench.start("a = ¦"), bench.start("a = ¦")
        await leave_after(first, 0.1)
        assert shown(await second) == "compute(x)"
        assert bench.requests == 1

    with_engine(test, SLOW)


def test_an_answer_that_comes_within_the_grace_is_known() -> None:
    async def test(bench: Bench) -> None:
        await leave_after(bench.start("a = ¦"), 0.1)
        await asyncio.sleep(1)
        assert await bench.text("a = f¦") == "()"
        assert bench.requests == 1

    with_engine(test, [0.2, "f()"])


def test_an_answer_ended_unwanted_is_not_known() -> None:
    async def test(bench: Bench) -> None:
        await leave_after(bench.start("def f():\n    ¦"), 0.2)
        await asyncio.sleep(1)
        assert await bench.text("def f():\n    ¦") == "pass"
        assert bench.requests == 2

    with_engine(test, [0.1, "a = 1\n    b", 1.0, " = 2"], ["pass"])


def test_a_question_cancelled_in_its_pause_sends_nothing() -> None:
    async def test(bench: Bench) -> None:
        await leave_after(bench.start("a = ¦", debounce_ms=100.0), 0.05)
        await asyncio.sleep(1)
        assert bench.requests == 0

    with_engine(test)


def test_a_question_in_one_document_leaves_a_flight_of_another_alone() -> None:
    async def test(bench: Bench) -> None:
        first = bench.start("a = ¦", uri="file:///one.py")
        await asyncio.sleep(0.1)
        second = bench.start("a = ¦", uri="file:///two.py")
        await leave(first)
        assert shown(await second) == "two()"
        assert shown(await bench.start("a = ¦", uri="file:///one.py")) == "compute(x)"
        assert bench.requests == 2

    with_engine(test, SLOW, ["two()"])


def test_the_stream_is_closed_as_soon_as_the_line_is_complete() -> None:
    async def test(bench: Bench) -> None:
        assert await bench.text("a = ¦") == "f()"
        assert bench.api.calls[0].pulled == 2

    with_engine(test, ["f(", ")\nb", " = 2", "\nc = 3"])


def test_the_stream_is_closed_as_soon_as_the_block_is_complete() -> None:
    async def test(bench: Bench) -> None:
        assert await bench.text("def f():\n    ¦\n") == "a = 1\n    return a"
        assert bench.api.calls[0].pulled == 4

    with_engine(test, ["a = 1\n", "    return a\n", "\n\n", "def g():\n", "    pass\n", "x = 1\n"])


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(lambda: itertools.repeat("x"), id="one line"),
        pytest.param(lambda: itertools.repeat("\n"), id="blank lines"),
        pytest.param(lambda: (f"a{n} = {n}\n" for n in itertools.count()), id="lines"),
    ],
)
@pytest.mark.parametrize("multiline", ["always", "never"])
def test_an_answer_without_end_is_ended(script, multiline: str) -> None:
    async def test(bench: Bench) -> None:
        outcome = await bench.suggest("def f():\n¦", multiline=multiline)
        assert len(shown(outcome) or "") <= 5000
        assert bench.api.calls[0].pulled <= 5001

    with_engine(test, script())


def test_a_stream_that_brings_no_text_for_ever_ends_at_the_deadline() -> None:
    async def test(bench: Bench) -> None:
        outcome = await bench.suggest("a = ¦")
        assert isinstance(outcome.error, TimedOut)
        assert bench.time() == pytest.approx(8.0)

    with_engine(test, itertools.cycle(["", 0.05]))


def test_a_megabyte_in_one_piece_shows_at_most_what_can_be_drawn() -> None:
    async def test(bench: Bench) -> None:
        assert await bench.text("a = ¦", multiline="always") is None
        text = await bench.text("b = ¦", multiline="always")
        assert text is not None
        assert len(text) <= 5000

    with_engine(test, ["x" * 1_000_000], ["".join(f"a{n} = {n}\n" for n in range(100_000))])


def test_at_the_deadline_whole_lines_are_shown() -> None:
    async def test(bench: Bench) -> None:
        outcome = await bench.suggest("def f():\n    ¦")
        assert shown(outcome) == "a = 1"
        assert outcome.error is None
        assert bench.time() == pytest.approx(8.0)
        assert bench.api.calls[0].closed_at == pytest.approx(8.0)

    with_engine(test, ["a = 1\n    ret", 100.0, "urn a"])


def test_at_the_deadline_without_a_whole_line_the_outcome_is_a_time_out() -> None:
    async def test(bench: Bench) -> None:
        outcome = await bench.suggest("def f():\n    ¦")
        assert outcome.suggestions == ()
        assert isinstance(outcome.error, TimedOut)
        assert "8 s" in str(outcome.error)
        assert "timeout_ms" in str(outcome.error)

    with_engine(test, ["a = ", 100.0, "1\n"])


def test_the_time_outs_of_the_settings_reach_the_api() -> None:
    async def test(bench: Bench) -> None:
        outcome = await bench.suggest("a = ¦", timeout_ms=TimeoutSettings(fim=500))
        assert isinstance(outcome.error, TimedOut)
        assert bench.time() == pytest.approx(0.5)
        assert bench.api.calls[0].timeouts == Timeouts.of(500)

    with_engine(test, [1.0, "late"])


def test_a_stream_that_breaks_shows_its_whole_lines() -> None:
    async def test(bench: Bench) -> None:
        outcome = await bench.suggest("def f():\n    ¦")
        assert shown(outcome) == "a = 1"

    with_engine(test, ["a = 1\n    ret", Unreachable("gone")])


def test_a_stream_cut_by_its_token_limit_keeps_whole_lines_only_where_there_are_some() -> None:
    async def test(bench: Bench) -> None:
        assert await bench.text("def f():\n    ¦") == "a = 1"
        assert await bench.text("b = ¦") == "compute(on"

    with_engine(test, ["a = 1\n    ret", Chunk("", "length")], [Chunk("compute(on", "length")])


def test_an_error_is_the_outcome_of_everybody_who_waits() -> None:
    async def test(bench: Bench) -> None:
        outcomes = [await task for task in [bench.start("a = ¦"), bench.start("a = ¦")]]
        assert [type(outcome.error) for outcome in outcomes] == [NonsenseAnswer] * 2
        assert {outcome.why for outcome in outcomes} == {"an HTML page"}

    with_engine(test, [0.1, NonsenseAnswer("an HTML page")])


def test_a_defect_is_raised_to_who_waits_instead_of_leaving_them_waiting() -> None:
    async def test(bench: Bench) -> None:
        with pytest.raises(ZeroDivisionError):
            await bench.suggest("a = ¦")
        assert await bench.text("a = ¦") == "f()"

    with_engine(test, [ZeroDivisionError()], ["f()"])


def test_aclose_ends_requests_and_answers_who_waits() -> None:
    async def test(bench: Bench) -> None:
        flying = bench.start("a = ¦")
        pausing = bench.start("b = ¦", uri="file:///other.py", debounce_ms=1000.0)
        await asyncio.sleep(0.1)
        await bench.engine.aclose()
        assert bench.api.open_calls == 0
        for task in (flying, pausing):
            outcome = await task
            assert outcome.suggestions == ()
            assert outcome.error is None
            assert outcome.why == "completions have ended"
        assert bench.requests == 1

    with_engine(test, SLOW)


def test_aclose_right_after_a_question_leaves_nobody_waiting() -> None:
    async def test(bench: Bench) -> None:
        task = bench.start("a = ¦")
        await asyncio.sleep(0)
        await bench.engine.aclose()
        assert (await task).why == "completions have ended"

    with_engine(test, SLOW)


def test_after_aclose_nothing_is_asked() -> None:
    async def test(bench: Bench) -> None:
        await bench.engine.aclose()
        assert (await bench.suggest("a = ¦")).why == "completions have ended"
        assert bench.requests == 0

    with_engine(test)


def test_aclose_within_the_grace_leaves_nothing() -> None:
    async def test(bench: Bench) -> None:
        await leave_after(bench.start("a = ¦"), 0.1)
        await bench.engine.aclose()
        assert bench.api.open_calls == 0
        assert len(asyncio.all_tasks()) == 1

    with_engine(test, SLOW)


async def leave_after(task, seconds: float) -> None:
    await asyncio.sleep(seconds)
    await leave(task)
