"""From the settings to a client: which hosts, which key, and what is remembered between starts."""

from __future__ import annotations

import json
import os
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from api_fakes import CODESTRAL, KEY, MISTRAL, OWN, FakeKeys, Hosts, Sent, ask, hosts, response, run

from codestral_ls.api import access
from codestral_ls.api.access import is_sandbox, open_client
from codestral_ls.api.errors import ApiError, KeyForOtherHost, NoAddress, NoKey
from codestral_ls.api.sandbox import SandboxTransport
from codestral_ls.api.transport import Transport
from codestral_ls.settings import Settings

SETTINGS = Settings()


def opened(
    monkeypatch: pytest.MonkeyPatch, transport: Hosts, keys: FakeKeys, state: Path | None = None, **settings: Any
) -> Any:
    """A client for these settings, whose network is `transport`."""
    monkeypatch.setattr("codestral_ls.api.transport.Transport", lambda network: transport)
    return open_client(replace(SETTINGS, **settings), keys, {}, state)


def taking(host: str) -> Hosts:
    """Hosts of which only `host` takes the key."""
    answer = {"choices": [{"text": "x"}]}

    def script(sent: Sent) -> Any:
        return response(200, answer) if sent.host == host and sent.key == KEY else response(401, {})

    return hosts(script)


@pytest.mark.parametrize(
    ("settings", "sandboxed"),
    [
        ({}, False),
        ({"base_url": "sandbox:"}, True),
        ({"provider": "sandbox"}, True),
        ({"provider": "sandbox", "base_url": OWN}, True),
        ({"base_url": OWN}, False),
    ],
    ids=str,
)
def test_where_the_sandbox_answers(settings: dict[str, Any], sandboxed: bool) -> None:
    chosen = replace(SETTINGS, **settings)
    assert is_sandbox(chosen) is sandboxed

    async def main() -> None:
        client = open_client(chosen, FakeKeys(), {}, None)
        assert isinstance(client._transport, SandboxTransport if sandboxed else Transport)
        await client.aclose()

    run(main)


def test_the_sandbox_looks_for_no_key_and_gets_none(monkeypatch: pytest.MonkeyPatch) -> None:
    keys, seen = FakeKeys(loaded=False), []
    handle = SandboxTransport.handle_async_request

    async def watched(self: SandboxTransport, request: Any) -> Any:
        seen.append(dict(request.headers))
        return await handle(self, request)

    monkeypatch.setattr(SandboxTransport, "handle_async_request", watched)

    async def main() -> None:
        client = open_client(replace(SETTINGS, base_url="sandbox:"), keys, {}, None)
        await client.warm()
        await ask(client)
        await client.aclose()

    run(main)
    assert keys.reloads == 0
    assert [headers.get("authorization") for headers in seen] == [None]


@pytest.mark.parametrize(
    ("base_url", "asked"),
    [("auto", [MISTRAL, CODESTRAL]), (MISTRAL, [MISTRAL]), (CODESTRAL, [CODESTRAL]), (OWN, [OWN])],
)
def test_which_hosts_get_the_key(monkeypatch: pytest.MonkeyPatch, base_url: str, asked: list[str]) -> None:
    transport = taking("nobody")
    client = opened(monkeypatch, transport, FakeKeys(), base_url=base_url)

    async def main() -> None:
        with pytest.raises(ApiError):
            await ask(client)

    run(main)
    assert [sent.host for sent in transport.sent] == asked


@pytest.mark.parametrize(
    ("base_url", "needed"),
    [
        ("auto", True),
        (MISTRAL, True),
        (CODESTRAL, True),
        ("https://api.eu.mistral.ai", True),
        (OWN, False),
        ("https://mistral.ai.example.com", False),
        ("https://example.com/api.mistral.ai", False),
    ],
)
def test_which_hosts_need_a_key(monkeypatch: pytest.MonkeyPatch, base_url: str, needed: bool) -> None:
    transport = hosts(lambda _: response(200, {"choices": [{"text": "x"}]}))
    client = opened(monkeypatch, transport, FakeKeys(None), base_url=base_url)

    async def main() -> None:
        if needed:
            with pytest.raises(NoKey):
                await ask(client)
        else:
            await ask(client)

    run(main)
    assert len(transport.sent) == (0 if needed else 1)


@pytest.mark.parametrize(
    ("base_url", "other"),
    [
        (MISTRAL, "codestral.mistral.ai"),
        (CODESTRAL, "api.mistral.ai"),
        ("https://api.eu.mistral.ai", None),
        (OWN, None),
    ],
)
def test_the_other_host_is_named_for_mistrals_two(
    monkeypatch: pytest.MonkeyPatch, base_url: str, other: str | None
) -> None:
    client = opened(monkeypatch, taking("nobody"), FakeKeys(), base_url=base_url)

    async def main() -> ApiError:
        with pytest.raises(ApiError) as caught:
            await ask(client)
        return caught.value

    error = run(main)
    assert isinstance(error, KeyForOtherHost) is (other is not None)
    if other is not None:
        assert f"may belong to {other}" in str(error)


# Which host took the key.


def test_the_host_that_took_the_key_is_asked_first_after_a_restart(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    for asked in ([MISTRAL, CODESTRAL], [CODESTRAL]):
        transport = taking(CODESTRAL)
        client = opened(monkeypatch, transport, FakeKeys(), state)
        run(lambda c=client: ask(c))  # type: ignore[misc]
        assert [sent.host for sent in transport.sent] == asked


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_what_is_remembered_is_private_and_holds_no_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    state = tmp_path / "state"
    client = opened(monkeypatch, taking(CODESTRAL), FakeKeys(), state)
    run(lambda: ask(client))
    (file,) = state.iterdir()
    assert json.loads(file.read_text()) == {"host": CODESTRAL}
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"5",
        b'"https://codestral.mistral.ai"',
        b'{"host": null}',
        b'{"host": ["https://codestral.mistral.ai"]}',
        b'{"host": "https://evil.example.com"}',
        b'{"other": 1}',
        b"\xff\xfe",
        b"[" * 100_000,
    ],
    ids=lambda content: repr(content[:40]),
)
def test_what_was_remembered_wrongly_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "host.json").write_bytes(content)
    transport = taking(MISTRAL)
    client = opened(monkeypatch, transport, FakeKeys(), tmp_path)
    run(lambda: ask(client))
    assert [sent.host for sent in transport.sent] == [MISTRAL]


def test_a_configured_host_is_not_changed_by_what_is_remembered(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "host.json").write_text(json.dumps({"host": CODESTRAL}))
    transport = taking(MISTRAL)
    client = opened(monkeypatch, transport, FakeKeys(), tmp_path, base_url=MISTRAL)
    run(lambda: ask(client))
    assert [sent.host for sent in transport.sent] == [MISTRAL]


def test_a_state_folder_that_cannot_be_written_does_no_harm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    blocked = tmp_path / "a file"
    blocked.write_text("")
    for state in (blocked, blocked / "below", None):
        client = opened(monkeypatch, taking(CODESTRAL), FakeKeys(), state)
        run(lambda c=client: ask(c))  # type: ignore[misc]
        assert client.host == CODESTRAL


def test_the_network_settings_reach_the_transport(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Any] = []
    monkeypatch.setattr("codestral_ls.api.transport.Transport", lambda network: given.append(network) or hosts())
    environment = {"https_proxy": "http://proxy:1"}
    access.open_client(SETTINGS, FakeKeys(), environment, None)
    chosen = replace(SETTINGS, proxy="none", ca_file="/ca.pem", verify=False)
    access.open_client(chosen, FakeKeys(), environment, None)
    assert [(network.proxy, network.ca_file, network.verify) for network in given] == [
        ("system", None, True),
        ("none", "/ca.pem", False),
    ]
    assert all(network.environment == environment for network in given)


@pytest.mark.parametrize(
    ("refused", "settings", "asks"),
    [
        ({"base_url"}, {}, False),
        ({"provider"}, {}, False),
        ({"base_url"}, {"base_url": OWN}, True),
        ({"provider"}, {"base_url": "sandbox:"}, True),
        ({"max_tokens"}, {}, True),
    ],
    ids=str,
)
def test_nothing_goes_to_mistral_in_place_of_an_address_that_could_not_be_used(
    monkeypatch: pytest.MonkeyPatch, refused: set[str], settings: dict[str, Any], asks: bool
) -> None:
    transport, keys = hosts(lambda _sent: response(200, {"choices": [{"text": "x"}]})), FakeKeys()
    monkeypatch.setattr("codestral_ls.api.transport.Transport", lambda network: transport)
    client = open_client(replace(SETTINGS, **settings), keys, {}, None, refused=refused)

    async def main() -> None:
        if asks:
            assert await ask(client) or is_sandbox(replace(SETTINGS, **settings))
            return
        with pytest.raises(NoAddress, match="mend the setting"):
            await ask(client)
        assert not transport.sent

    run(main)
