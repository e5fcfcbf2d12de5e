"""Which key goes to which host, what follows a 401, and that a key goes nowhere else."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from typing import Any

import httpx
import pytest
from api_fakes import (
    ANSWER,
    CODESTRAL,
    KEY,
    MISTRAL,
    OWN,
    REFUSED,
    Clock,
    FakeKey,
    FakeKeys,
    Hosts,
    Sent,
    ask,
    assert_no_key,
    client,
    hosts,
    response,
    run,
    until,
)

from codestral_ls.api.client import Client
from codestral_ls.api.credentials import REFUSAL_SECONDS, RELOAD_SECONDS, Access
from codestral_ls.api.errors import (
    ApiError,
    BadKey,
    KeyForOtherHost,
    NoKey,
    NotInPlan,
    Overloaded,
    RateLimited,
    RequestRefused,
    Unreachable,
)

BOTH = (MISTRAL, CODESTRAL)


def accepting(*good: tuple[str, str | None]) -> Hosts:
    """Hosts that take these pairs of host and key, and refuse every other."""

    def answer(sent: Sent) -> httpx.Response:
        return response(200, ANSWER) if (sent.host, sent.key) in good else response(401, REFUSED)

    return hosts(answer)


async def refused(asking: Client) -> ApiError:
    """The error of a call that must fail."""
    try:
        await ask(asking)
    except ApiError as error:
        assert_no_key(error)
        return error
    raise AssertionError("the call succeeded")


# A key that is there.


def test_a_key_that_was_found_before_is_not_looked_for_again() -> None:
    keys, transport = FakeKeys(), accepting((MISTRAL, KEY))

    async def main() -> None:
        asking = client(transport, keys)
        for _ in range(3):
            await ask(asking)

    run(main)
    assert keys.reloads == 0
    assert transport.asked == [(MISTRAL, KEY)] * 3


def test_a_key_is_looked_for_at_the_first_call() -> None:
    keys, transport = FakeKeys(loaded=False), accepting((MISTRAL, KEY))
    run(lambda: ask(client(transport, keys)))
    assert keys.reloads == 1
    assert transport.asked == [(MISTRAL, KEY)]


@pytest.mark.parametrize("value", ["sk-ä", "sk-\n", "sk-\r\nx-evil: 1", "sk-\x00", "sk-\u2028"])
def test_what_no_header_takes_is_not_sent(value: str) -> None:
    transport = hosts()
    error = run(lambda: refused(client(transport, FakeKeys(value), bases=BOTH)))
    assert type(error) is BadKey
    assert "from a test" in str(error)
    assert value not in str(error)
    assert transport.sent == []


# No key.


def test_without_a_key_nothing_is_sent() -> None:
    transport = hosts()
    error = run(lambda: refused(client(transport, FakeKeys(None))))
    assert type(error) is NoKey
    assert "MISTRAL_API_KEY" in str(error)
    assert transport.sent == []


def test_a_missing_key_is_looked_for_every_few_seconds() -> None:
    keys, clock, transport = FakeKeys(None), Clock(), accepting((MISTRAL, KEY))

    async def main() -> None:
        asking = client(transport, keys, clock=clock)
        for _ in range(5):
            await refused(asking)
        assert keys.reloads == 1
        keys.stored = KEY
        clock.now += RELOAD_SECONDS - 0.1
        await refused(asking)
        assert keys.reloads == 1
        clock.now += 0.1
        await ask(asking)
        assert keys.reloads == 2

    run(main)


def test_those_who_miss_a_key_at_once_look_for_it_once() -> None:
    class SlowKeys(FakeKeys):
        def reload(self) -> FakeKey | None:
            assert going.wait(10)
            return super().reload()

    going, keys, transport = threading.Event(), SlowKeys(loaded=False), accepting((MISTRAL, KEY))

    async def main() -> None:
        asking = client(transport, keys)
        calls = [asyncio.create_task(ask(asking)) for _ in range(5)]
        for _ in range(20):
            await asyncio.sleep(0)
        # The loop goes on while a look blocks.
        assert not any(call.done() for call in calls)
        going.set()
        await asyncio.gather(*calls)

    run(main)
    assert keys.reloads == 1


def test_a_host_of_ones_own_may_need_no_key() -> None:
    keys, clock, transport = FakeKeys(None), Clock(), accepting((OWN, None))

    async def main() -> None:
        asking = client(transport, keys, bases=[OWN], needs_key=False, clock=clock)
        for _ in range(3):
            await ask(asking)
            clock.now += 1000.0

    run(main)
    assert transport.asked == [(OWN, None)] * 3
    # One is sent if there is one, so it is looked for, but not again and again: a look may take seconds.
    assert keys.reloads == 1


def test_a_host_of_ones_own_gets_the_key_if_there_is_one() -> None:
    transport = accepting((OWN, KEY))
    run(lambda: ask(client(transport, FakeKeys(loaded=False), bases=[OWN], needs_key=False)))
    assert transport.asked == [(OWN, KEY)]


def test_a_host_of_ones_own_that_wants_a_key_after_all() -> None:
    keys, clock, transport = FakeKeys(None), Clock(), accepting((OWN, KEY))

    async def main() -> None:
        asking = client(transport, keys, bases=[OWN], needs_key=False, clock=clock)
        error = await refused(asking)
        assert type(error) is NoKey
        assert str(error).startswith("localhost:8080 asks for an API key (401), and there is none: set api_key")
        assert type(await refused(asking)) is NoKey
        assert transport.asked == [(OWN, None)]
        keys.stored = KEY
        clock.now += RELOAD_SECONDS
        await ask(asking)

    run(main)
    assert transport.asked == [(OWN, None), (OWN, KEY)]


# A refused key.


def test_a_refused_key_is_said_with_where_it_comes_from() -> None:
    error = run(lambda: refused(client(accepting())))
    assert type(error) is BadKey
    assert error.status == 401
    assert "api.mistral.ai refuses the API key (401, “Invalid API Key”). The key comes from a test" in str(error)


def test_a_configured_host_never_has_its_key_sent_elsewhere() -> None:
    for base in (MISTRAL, CODESTRAL, OWN):
        transport = accepting((MISTRAL, KEY), (CODESTRAL, KEY))
        transport.script = lambda sent: response(401, REFUSED)
        run(lambda t=transport, b=base: refused(client(t, bases=[b], other_host="codestral.mistral.ai")))  # type: ignore[misc]
        assert transport.asked == [(base, KEY)]


@pytest.mark.parametrize("location", [OWN, CODESTRAL + "/v1/fim/completions", "//localhost:8080/"])
@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirection_is_not_followed(status: int, location: str) -> None:
    transport = hosts(lambda _: response(status, "", location=location))
    error = run(lambda: refused(client(transport)))
    assert "check base_url" in str(error)
    assert transport.asked == [(MISTRAL, KEY)]


def test_the_other_host_is_named_where_the_key_may_belong_to_it() -> None:
    asking = client(accepting(), bases=[CODESTRAL], other_host="api.mistral.ai")
    error = run(lambda: refused(asking))
    assert type(error) is KeyForOtherHost
    assert "api.mistral.ai: then set base_url to that, or to auto" in str(error)
    assert "a test" in str(error)


def test_auto_tries_the_other_host_once_and_remembers() -> None:
    transport, remembered = accepting((CODESTRAL, KEY)), []

    async def main() -> Client:
        asking = client(transport, bases=BOTH, remember=remembered.append)
        assert asking.host == MISTRAL
        for _ in range(3):
            await ask(asking)
        return asking

    assert run(main).host == CODESTRAL
    assert transport.asked == [(MISTRAL, KEY), (CODESTRAL, KEY), (CODESTRAL, KEY), (CODESTRAL, KEY)]
    assert remembered == [CODESTRAL]
    assert transport.all_closed()


def test_auto_goes_back_when_the_host_that_it_remembers_refuses() -> None:
    transport, remembered = accepting((MISTRAL, KEY)), []
    run(lambda: ask(client(transport, bases=(CODESTRAL, MISTRAL), remember=remembered.append)))
    assert transport.asked == [(CODESTRAL, KEY), (MISTRAL, KEY)]
    assert remembered == [MISTRAL]


def test_auto_does_not_try_the_other_host_without_need() -> None:
    for answer in (response(429, {}), response(500, {}), response(403, {}), response(404, {}), httpx.ConnectError("x")):
        transport = hosts(answer)
        run(lambda t=transport: refused(client(t, bases=BOTH)))  # type: ignore[misc]
        assert transport.asked == [(MISTRAL, KEY)]


def test_a_key_that_both_hosts_refuse() -> None:
    transport = accepting()
    error = run(lambda: refused(client(transport, bases=BOTH)))
    assert type(error) is BadKey
    assert "api.mistral.ai and codestral.mistral.ai refuse the API key (401); it comes from a test" in str(error)
    assert "console.mistral.ai" in str(error)
    assert transport.asked == [(MISTRAL, KEY), (CODESTRAL, KEY)]


@pytest.mark.parametrize(
    ("answer", "kind", "doubtful"),
    [
        (httpx.ConnectError("no such host"), Unreachable, True),
        (response(503, {}), Overloaded, True),
        (response(404, {"detail": "Not Found"}), RequestRefused, True),
        (response(429, {}, retry_after="5"), RateLimited, False),
        (response(403, {}), NotInPlan, False),
        (response(422, {}), RequestRefused, False),
    ],
)
def test_what_the_other_host_says_does_not_hide_that_the_first_one_refused(
    answer: Any, kind: type[ApiError], doubtful: bool
) -> None:
    error = run(lambda: refused(client(hosts(response(401, REFUSED), answer), bases=BOTH)))
    assert type(error) is kind
    assert ("api.mistral.ai refuses the API key (401), which comes from a test. " in str(error)) is doubtful
    assert "codestral.mistral.ai" in str(error)
    assert error.retry_at == (55.0 if kind is RateLimited else None)


# What was refused is not sent again for a while.


def test_a_refused_key_rests() -> None:
    clock, transport = Clock(), accepting()

    async def main() -> None:
        asking = client(transport, bases=BOTH, clock=clock)
        first = await refused(asking)
        for _ in range(5):
            again = await refused(asking)
            assert (type(again), str(again)) == (type(first), str(first))
        assert len(transport.sent) == 2
        clock.now += REFUSAL_SECONDS - 0.1
        await refused(asking)
        assert len(transport.sent) == 2
        clock.now += 0.1
        await refused(asking)
        assert len(transport.sent) == 4

    run(main)


def test_a_refused_key_that_is_taken_again_is_in_use_again() -> None:
    clock, transport = Clock(), hosts(response(401, REFUSED), response(200, ANSWER), response(200, ANSWER))

    async def main() -> None:
        asking = client(transport, clock=clock)
        error = await refused(asking)
        assert "used-up quota" in str(error)
        clock.now += REFUSAL_SECONDS
        await ask(asking)
        await ask(asking)

    run(main)


@pytest.mark.parametrize("bases", [(MISTRAL,), BOTH])
def test_a_rotated_key_is_found_within_the_same_call(bases: tuple[str, ...]) -> None:
    keys, transport = FakeKeys("old"), accepting((MISTRAL, "new"))
    keys.stored = "new"
    run(lambda: ask(client(transport, keys, bases=bases)))
    # The other host is not tried with the old key: the new one comes first.
    assert transport.asked == [(MISTRAL, "old"), (MISTRAL, "new")]
    assert keys.reloads == 1


def test_a_rotated_key_is_tried_at_both_hosts() -> None:
    keys, transport = FakeKeys("old"), accepting((CODESTRAL, "new"))
    keys.stored = "new"
    run(lambda: ask(client(transport, keys, bases=BOTH)))
    assert transport.asked == [(MISTRAL, "old"), (MISTRAL, "new"), (CODESTRAL, "new")]


def test_a_new_key_is_used_within_seconds_though_the_old_one_rests() -> None:
    keys, clock, transport = FakeKeys("old"), Clock(), accepting((MISTRAL, "new"))

    async def main() -> None:
        asking = client(transport, keys, clock=clock)
        await refused(asking)
        assert keys.reloads == 1
        keys.stored = "new"
        clock.now += RELOAD_SECONDS - 0.1
        await refused(asking)
        assert keys.reloads == 1
        clock.now += 0.1
        await ask(asking)
        await ask(asking)
        assert keys.reloads == 2

    run(main)
    assert transport.asked == [(MISTRAL, "old"), (MISTRAL, "new"), (MISTRAL, "new")]


def test_a_key_that_others_have_looked_up_is_used_at_once() -> None:
    keys, transport = FakeKeys("old"), accepting((MISTRAL, "new"))

    async def main() -> None:
        asking = client(transport, keys)
        await refused(asking)
        # As when the settings were read again: the client itself may not look yet.
        keys.key = FakeKey("new")
        await ask(asking)

    run(main)
    assert transport.asked[-1] == (MISTRAL, "new")


@pytest.mark.parametrize("step", [0.0, RELOAD_SECONDS], ids=["at once", "slowly"])
def test_a_new_key_that_is_refused_as_well_ends_the_call(step: float) -> None:
    class Restless(FakeKeys):
        def reload(self) -> FakeKey | None:
            self.stored = f"key-{self.reloads}"
            return super().reload()

    class Ticking(Clock):
        def __call__(self) -> float:
            self.now += step
            return self.now

    keys, transport = Restless(), accepting()
    error = run(lambda: refused(client(transport, keys, bases=BOTH, clock=Ticking())))
    assert type(error) is BadKey
    assert transport.asked == [(MISTRAL, KEY), (MISTRAL, "key-0"), (CODESTRAL, "key-0")]


def test_a_key_that_was_taken_away_leaves_the_old_one_to_the_other_host() -> None:
    keys, transport = FakeKeys(), accepting((CODESTRAL, KEY))
    keys.stored = None
    run(lambda: ask(client(transport, keys, bases=BOTH)))
    assert transport.asked == [(MISTRAL, KEY), (CODESTRAL, KEY)]


def test_an_old_key_is_kept_out_of_messages_too() -> None:
    keys = FakeKeys(KEY)
    keys.stored = "new-key-000"
    echo = {"detail": f"neither {KEY} nor new-key-000"}

    async def main() -> None:
        asking = client(hosts(response(401, echo), response(401, echo)), keys)
        error = await refused(asking)
        assert "neither [key] nor [key]" in str(error)

    run(main)


def test_calls_that_are_refused_at_once_agree() -> None:
    transport = accepting((CODESTRAL, KEY))
    remembered: list[str] = []

    async def main() -> None:
        asking = client(transport, bases=BOTH, remember=remembered.append)
        await asyncio.gather(*(ask(asking) for _ in range(5)))
        assert asking.host == CODESTRAL

    run(main)
    assert remembered == [CODESTRAL]


def test_a_look_for_a_new_key_can_be_cancelled() -> None:
    going = threading.Event()

    class SlowKeys(FakeKeys):
        def reload(self) -> FakeKey | None:
            started.append(True)
            going.wait(10)
            return super().reload()

    started: list[bool] = []
    keys, transport = SlowKeys(), accepting()

    async def main() -> None:
        call = asyncio.create_task(ask(client(transport, keys)))
        await until(lambda: started)
        call.cancel()
        with suppress(asyncio.CancelledError):
            await call
        assert call.cancelled()
        going.set()

    run(main)
    assert transport.all_closed()


# Nothing shows a key.


def test_no_repr_shows_a_key() -> None:
    class Plain(FakeKeys):
        def __repr__(self) -> str:
            return f"Plain({self.key})"

    access = Access((MISTRAL,), Plain())
    assert KEY not in repr(access)


# Being ready.


def test_warming_up_goes_to_the_host_that_is_asked_first() -> None:
    class Warm(Hosts):
        async def warm(self, url: str) -> None:
            warmed.append(url)

    warmed: list[str] = []
    run(client(Warm(None), bases=(CODESTRAL, MISTRAL)).warm)
    assert warmed == [CODESTRAL]


@pytest.mark.parametrize("failure", [httpx.ConnectError("x"), httpx.UnsupportedProtocol("x"), httpx.InvalidURL("x")])
def test_warming_up_never_fails(failure: Exception) -> None:
    class Cold(Hosts):
        async def warm(self, url: str) -> None:
            raise failure

    run(client(Cold(None)).warm)
    run(client(hosts()).warm)
