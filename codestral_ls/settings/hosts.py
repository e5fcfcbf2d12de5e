"""Where requests may go: `endpoints(settings)`, and the one spelling that every `base_url` is brought to."""

from __future__ import annotations

import re

from codestral_ls.settings.model import Settings

AUTO = "auto"
SANDBOX = "sandbox:"

# Mistral's two hosts, general key first: reference is https://docs.mistral.ai/api/ and, for the second, the
# Codestral endpoint for personal keys that IDE plugins use.
MISTRAL_HOSTS = ("https://api.mistral.ai", "https://codestral.mistral.ai")

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9.])?)(?::([0-9]{1,5}))?")
_PASTED = re.compile(r"/v1(?:/(?:(?:fim|chat)(?:/completions)?|completions|embeddings|models(?:/[^/]*)?))?$")
_DEFAULT_PORTS = {"http": 80, "https": 443}


class BadBaseUrl(ValueError):
    """Not a usable `base_url`. The text completes "expected …" and never holds a part that may be secret."""


def endpoints(settings: Settings) -> tuple[str, ...]:
    """Base URLs to use, best first, without a trailing slash and without `/v1`; `("sandbox:",)` for the sandbox.

    Only `base_url = "auto"` gives more than one.
    """
    if settings.provider == "sandbox":
        return (SANDBOX,)
    return MISTRAL_HOSTS if settings.base_url == AUTO else (settings.base_url,)


def normalise(text: str) -> str:
    """`auto`, `sandbox:`, or scheme, host and path without what belongs to a single endpoint.

    Raises BadBaseUrl. Whether plain http is allowed is the question of `is_exposed`.
    """
    url = text.strip()
    if url.lower() == AUTO:
        return AUTO
    if url.lower() in {SANDBOX, "sandbox", "sandbox://"}:
        return SANDBOX
    # A backslash, a blank or a control character is read differently by different URL parsers.
    if not url.isascii() or not url.isprintable() or set(url) & set(' \\"<>^`{|}'):
        raise BadBaseUrl("a URL of plain ASCII characters without blanks (an international name as xn--…)")
    match = _SCHEME.match(url)
    if match is None:
        raise BadBaseUrl(_missing_scheme(url))
    scheme = match[1].lower()
    if scheme not in _DEFAULT_PORTS:
        raise BadBaseUrl("a URL that starts with https:// (or http:// for this machine)")
    authority, slash, path = url[match.end() :].partition("/")
    if "@" in authority:
        raise BadBaseUrl("a URL without a user name or password before the host; the key has its own setting")
    if "?" in url or "#" in url:
        raise BadBaseUrl("a URL without ? and #")
    path = _PASTED.sub("", (slash + path).rstrip("/")).rstrip("/")
    return f"{scheme}://{_host_and_port(scheme, authority)}{path}"


def is_exposed(base_url: str) -> bool:
    """Whether requests to this normalised URL would cross a network unencrypted."""
    if not base_url.startswith("http://"):
        return False
    from ipaddress import ip_address

    host = base_url[len("http://") :].partition("/")[0]
    host = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    if host == "localhost":
        return False
    try:
        return not ip_address(host).is_loopback
    except ValueError:
        # A name, or a number that only some resolvers read as an address: nobody knows where it leads.
        return True


def _missing_scheme(url: str) -> str:
    host = url.partition("/")[0]
    if "@" in host or not _AUTHORITY.fullmatch(host):
        return 'a URL with its scheme, as in "https://api.mistral.ai"'
    scheme = "http" if host.partition(":")[0] in {"localhost", "127.0.0.1"} else "https"
    return f'a URL with its scheme: write "{scheme}://{host}"'


def _host_and_port(scheme: str, authority: str) -> str:
    match = _AUTHORITY.fullmatch(authority)
    if match is None:
        raise BadBaseUrl('a URL with a host name and perhaps a port, as in "https://api.mistral.ai"')
    host, port = match[1].lower(), match[2]
    if host.startswith("["):
        from ipaddress import IPv6Address

        try:
            host = f"[{IPv6Address(host[1:-1])}]"
        except ValueError:
            raise BadBaseUrl("a valid IPv6 address between [ and ]") from None
    if port is None or int(port) == _DEFAULT_PORTS[scheme]:
        return host
    if not 1 <= int(port) <= 65535:
        raise BadBaseUrl("a port from 1 to 65535")
    return f"{host}:{int(port)}"
