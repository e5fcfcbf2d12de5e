"""From the settings to a client: which hosts, which transport, which keys."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from codestral_ls.api.client import Access, Client, Keys
from codestral_ls.api.diagnose import Asked
from codestral_ls.settings import Settings, endpoints
from codestral_ls.settings.hosts import MISTRAL_HOSTS, SANDBOX
from codestral_ls.settings.paths import ensure_private, open_private

_HOST_FILE = "host.json"


def is_sandbox(settings: Settings) -> bool:
    """Whether answers come from the built-in API."""
    return endpoints(settings) == (SANDBOX,)


def open_client(
    settings: Settings,
    keys: Keys,
    environment: Mapping[str, str],
    state: Path | None,
    *,
    refused: Collection[str] = (),
) -> Client:
    """The client for these settings. `state` is the folder that remembers which of Mistral's hosts took the key.

    `refused` names the settings whose given value could not be used. If the address is among them and none of the
    layers below has one, the built-in one would apply: who meant to ask a host of their own would send their code and
    key to Mistral's. Then nothing is sent at all.
    """
    hosts = endpoints(settings)
    closed = None
    if hosts == MISTRAL_HOSTS and (wrong := sorted({"base_url", "provider"} & set(refused))):
        closed = f"Nothing is sent, because {' and '.join(wrong)} could not be used: mend the setting, or remove it."
    if hosts == (SANDBOX,):
        from codestral_ls.api.sandbox import SandboxTransport

        return Client(SandboxTransport(), Access(("https://sandbox",), _NoKeys(), needs_key=False))
    from codestral_ls.api.transport import NetworkOptions, Transport

    transport = Transport(
        network=NetworkOptions(
            proxy=settings.proxy or "system",
            ca_file=settings.ca_file,
            verify=settings.verify,
            environment=environment,
        )
    )
    return Client(transport, replace(_access(hosts, keys, state), closed=closed))


class _NoKeys:
    """The sandbox takes no key, so none is looked for: a look may run a command or open a dialogue."""

    key = None

    def reload(self) -> None:
        return None


def _access(hosts: tuple[str, ...], keys: Keys, state: Path | None) -> Access:
    # Mistral's regional hosts want one, too; of others nobody knows, so their 401 says.
    needs_key = any(Asked(host.split("://", 1)[1], "").is_mistral for host in hosts)
    if len(hosts) > 1:
        taken = _remembered(state)
        ordered = tuple(sorted(hosts, key=lambda host: host != taken))
        return Access(ordered, keys, needs_key=needs_key, remember=lambda host: _remember(state, host))
    other = next(
        (host.split("://", 1)[1] for host in MISTRAL_HOSTS if hosts[0] in MISTRAL_HOSTS and host != hosts[0]), None
    )
    return Access(hosts, keys, needs_key=needs_key, other_host=other)


def _remembered(state: Path | None) -> str | None:
    if state is None:
        return None
    try:
        host = json.loads((state / _HOST_FILE).read_text("utf-8"))["host"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        # Never written, or by another version: then the order is the built-in one.
        return None
    return host if host in MISTRAL_HOSTS else None


def _remember(state: Path | None, host: str) -> None:
    if state is None:
        return
    # A folder that cannot be written costs one more refused request at the next start, nothing else.
    with suppress(OSError):
        ensure_private(state)
        with open_private(state / _HOST_FILE, "w") as file:
            json.dump({"host": host}, file)
