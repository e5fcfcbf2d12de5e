"""How long is waited before a request, when none goes out at all, and when one is tried again."""

from __future__ import annotations

import asyncio

import pytest
from completion_helpers import Bench, ask, shown, with_engine

from codestral_ls.api.errors import BadKey, NoKey, Overloaded, RateLimited, RequestTooLarge, Unreachable
from codestral_ls.completion import prompt
from codestral_ls.completion.pacing import BASE_MS, SHORT_MS, Pacing
from codestral_ls.completion.types import Trigger

INVOKED = Trigger.INVOKED


def delay(marked: str, **rest: object) -> float:
    question = ask(marked, **rest)
    return Pacing(lambda: 0.0, lambda: 0.5).delay_ms(question, prompt.place(question))


@pytest.mark.parametrize(
    ("marked", "rest", "milliseconds"),
    [
        pytest.param("a = fo¦", {"debounce_ms": "adaptive"}, BASE_MS, id="inside a word"),
        pytest.param("a = fo)¦", {"debounce_ms": "adaptive"}, BASE_MS, id="after a closer"),
        pytest.param("a = f(¦", {"debounce_ms": "adaptive"}, SHORT_MS, id="after punctuation"),
        pytest.param("a = ¦", {"debounce_ms": "adaptive"}, SHORT_MS, id="after a space"),
        pytest.param("a\n¦", {"debounce_ms": "adaptive"}, SHORT_MS, id="on a new line"),
        pytest.param("a\r¦", {"debounce_ms": "adaptive"}, SHORT_MS, id="on a new line after a lone CR"),
        pytest.param(
            "a = fo¦", {"debounce_ms": "adaptive", "waited_ms": 50.0}, BASE_MS - 50.0, id="the editor waited a part"
        ),
        pytest.param("a = fo¦", {"debounce_ms": "adaptive", "waited_ms": 200.0}, 0.0, id="the editor waited it all"),
        pytest.param("a = fo¦", {"debounce_ms": 300.0}, 300.0, id="a number"),
        pytest.param("a = f(¦", {"debounce_ms": 300.0}, 300.0, id="a number is no base for guesses"),
        pytest.param("a = fo¦", {"debounce_ms": 300.0, "waited_ms": 50.0}, 250.0, id="a number, less what was waited"),
        pytest.param("a = fo¦", {"debounce_ms": 20.0, "waited_ms": 50.0}, 0.0, id="never less than nothing"),
        pytest.param("a = fo¦", {"debounce_ms": 0.0}, 0.0, id="zero"),
        pytest.param("a = fo¦", {"debounce_ms": 300.0, "trigger": INVOKED}, 0.0, id="a gesture waits for nothing"),
    ],
)
def test_debounce(marked: str, rest: dict[str, object], milliseconds: float) -> None:
    assert delay(marked, **rest) == milliseconds


def test_the_pause_comes_before_the_request_and_is_told() -> None:
    async def test(bench: Bench) -> None:
        outcome = await bench.suggest("a = fo¦", debounce_ms=300.0, waited_ms=50.0)
        assert outcome.waited_ms == 250.0
        assert bench.api.calls[0].started_at == pytest.approx(0.25)

    with_engine(test, ["o()"])


def test_what_is_known_is_not_waited_for() -> None:
    async def test(bench: Bench) -> None:
        await bench.suggest("a = ¦", debounce_ms=300.0)
        before = bench.time()
        assert await bench.text("a = f¦", debounce_ms=300.0) == "()"
        assert bench.time() == before

    with_engine(test, ["f()"])


def test_automatic_requests_are_never_retried() -> None:
    async def test(bench: Bench) -> None:
        assert (await bench.suggest("a = ¦")).error is not None
        await asyncio.sleep(60)
        assert bench.requests == 1

    with_engine(test, [Overloaded("full")])


def test_explicit_requests_are_retried_twice_after_a_random_part_of_a_doubling_time() -> None:
    async def test(bench: Bench) -> None:
        outcome = await bench.suggest("a = ¦", trigger=INVOKED)
        assert isinstance(outcome.error, Overloaded)
        assert [call.started_at for call in bench.api.calls] == pytest.approx([0.0, 0.25 * 0.5, 0.25 * 0.5 + 0.25 * 1])

    with_engine(test, [Overloaded("full")], random=lambda: 0.25)


def test_a_retry_that_works_is_answered() -> None:
    async def test(bench: Bench) -> None:
        outcome = await bench.suggest("a = ¦", trigger=INVOKED)
        assert shown(outcome) == "f()"
        assert outcome.error is None
        assert bench.requests == 2

    with_engine(test, [Unreachable("no network")], ["f()"])


def test_a_retry_waits_until_the_time_that_the_api_named() -> None:
    async def test(bench: Bench) -> None:
        assert shown(await bench.suggest("a = ¦", trigger=INVOKED)) == "f()"
        assert bench.api.calls[1].started_at == pytest.approx(3.0)

    with_engine(test, [RateLimited("slow down", retry_at=3.0)], ["f()"])


def test_no_retry_where_the_named_time_is_past_the_deadline() -> None:
    async def test(bench: Bench) -> None:
        outcome = await bench.suggest("a = ¦", trigger=INVOKED)
        assert isinstance(outcome.error, RateLimited)
        assert bench.time() == 0.0
        assert bench.requests == 1

    with_engine(test, [RateLimited("slow down", retry_at=100.0)])


def test_a_deadline_in_the_middle_of_retries_tells_the_failure_not_the_time() -> None:
    async def test(bench: Bench) -> None:
        outcome = await bench.suggest("a = ¦", trigger=INVOKED)
        assert isinstance(outcome.error, RateLimited)
        assert bench.time() <= 8.0

    with_engine(test, [5.0, RateLimited("slow down", retry_at=12.0)])


def test_what_nobody_can_mend_by_waiting_is_not_retried() -> None:
    async def test(bench: Bench) -> None:
        assert (await bench.suggest("a = ¦", trigger=INVOKED)).error is not None
        assert bench.requests == 1

    with_engine(test, [RequestTooLarge("too large")])


def test_no_retry_once_text_has_come() -> None:
    async def test(bench: Bench) -> None:
        assert (await bench.suggest("def f():\n    ¦", trigger=INVOKED)).error is not None
        assert bench.requests == 1

    with_engine(test, ["a = ", Unreachable("gone")])


def test_after_a_rate_limit_automatic_requests_rest_until_the_time_named() -> None:
    async def test(bench: Bench) -> None:
        await bench.suggest("a = ¦")
        await asyncio.sleep(29.9)
        outcome = await bench.suggest("b = ¦")
        assert outcome.suggestions == ()
        assert outcome.error is None
        assert outcome.why == "the rate limit is reached; completions rest"
        assert bench.requests == 1
        await asyncio.sleep(0.2)
        assert await bench.text("b = ¦") == "f()"

    with_engine(test, [RateLimited("slow down", retry_at=30.0)], ["f()"])


@pytest.mark.parametrize("named", [None, 0.0], ids=["none", "a time that is past"])
def test_a_rate_limit_without_a_time_rests_all_the_same(named: float | None) -> None:
    async def test(bench: Bench) -> None:
        await bench.suggest("a = ¦")
        await asyncio.sleep(0.4)
        assert (await bench.suggest("b = ¦")).why == "the rate limit is reached; completions rest"
        assert bench.requests == 1

    with_engine(test, [RateLimited("slow down", retry_at=named)])


@pytest.mark.parametrize(("random", "share"), [(0.0, 0.5), (0.5, 0.75), (1.0, 1.0)])
def test_the_rest_doubles_with_each_failure_in_a_row_up_to_half_a_minute(random: float, share: float) -> None:
    now = 100.0
    pacing = Pacing(lambda: now, lambda: random)
    for seconds in (1, 2, 4, 8, 16, 30, 30):
        pacing.failed(Overloaded("full"))
        now += seconds * share - 0.01
        assert pacing.resting(ask("a = ¦")) == "the API failed; completions rest"
        assert pacing.resting(ask("a = ¦", trigger=INVOKED)) is None
        now += 0.02
        assert pacing.resting(ask("a = ¦")) is None


def test_a_success_ends_the_rest_and_its_growth() -> None:
    async def test(bench: Bench) -> None:
        await bench.suggest("a = ¦")
        assert (await bench.suggest("b = ¦")).why == "the API failed; completions rest"
        assert await bench.text("c = ¦", trigger=INVOKED) == "f()"
        assert (await bench.suggest("d = ¦")).error is not None
        await asyncio.sleep(0.74)
        assert (await bench.suggest("e = ¦")).why == "the API failed; completions rest"
        await asyncio.sleep(0.02)
        assert await bench.text("e = ¦") == "g()"

    with_engine(test, [Overloaded("full")], ["f()"], [Overloaded("full")], ["g()"])


def test_a_stream_that_breaks_after_whole_lines_is_shown_and_yet_a_failure() -> None:
    async def test(bench: Bench) -> None:
        assert await bench.text("def f():\n    ¦") == "a = 1"
        assert (await bench.suggest("b = ¦")).why == "the API failed; completions rest"

    with_engine(test, ["a = 1\n    ret", Unreachable("gone")])


@pytest.mark.parametrize("error", [NoKey("no key"), BadKey("refused")])
def test_a_missing_key_is_no_reason_to_rest_for_a_new_one_is_tried_at_once(error: Exception) -> None:
    async def test(bench: Bench) -> None:
        assert (await bench.suggest("a = ¦")).error is error
        assert await bench.text("a = ¦") == "f()"

    with_engine(test, [error], ["f()"])


def test_a_rest_that_begins_in_the_pause_holds() -> None:
    async def test(bench: Bench) -> None:
        failing = bench.start("a = ¦", uri="file:///other.py")
        pausing = bench.start("b = ¦", debounce_ms=200.0)
        assert (await failing).error is not None
        assert (await pausing).why == "the rate limit is reached; completions rest"
        assert bench.requests == 1

    with_engine(test, [0.1, RateLimited("slow down", retry_at=30.0)])


def test_the_ceiling_of_requests_a_minute_holds_for_keys_and_not_for_gestures() -> None:
    async def test(bench: Bench) -> None:
        async def automatic(name: str) -> str | None:
            outcome = await bench.suggest(f"{name} = ¦", requests_per_minute=3)
            return outcome.why

        assert [await automatic(name) for name in "abc"] == [None] * 3
        assert await automatic("d") == "the ceiling of 3 requests a minute is reached"
        assert await bench.text("d = ¦", trigger=INVOKED, requests_per_minute=3) == "f()"
        await asyncio.sleep(59.9)
        assert await automatic("e") is not None
        await asyncio.sleep(0.2)
        assert await automatic("e") is None

    with_engine(test, ["f()"])


def test_retries_count_against_the_ceiling() -> None:
    async def test(bench: Bench) -> None:
        assert await bench.text("a = ¦", trigger=INVOKED, requests_per_minute=2) == "f()"
        assert bench.requests == 2
        outcome = await bench.suggest("b = ¦", requests_per_minute=2)
        assert outcome.why == "the ceiling of 2 requests a minute is reached"

    with_engine(test, [Overloaded("full")], ["f()"])


def test_known_and_joined_answers_do_not_count_against_the_ceiling() -> None:
    async def test(bench: Bench) -> None:
        for typed in ("", "f", "f(", ""):
            assert await bench.text(f"a = {typed}¦", requests_per_minute=1) is not None

    with_engine(test, ["f()"])


def test_a_rest_that_the_api_named_outlasts_a_success_from_before_it() -> None:
    now = 100.0
    pacing = Pacing(lambda: now, lambda: 0.5)
    pacing.failed(RateLimited("", retry_at=160.0))
    pacing.succeeded()
    assert pacing.resting(ask("a¦")) is not None
    now = 160.0
    assert pacing.resting(ask("a¦")) is None
