"""Which proxy, if any, leads to a host. Pure but for `platform_proxy`, which asks macOS or Windows."""

from __future__ import annotations

import base64
import ipaddress
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

PLATFORMS_WITH_SETTINGS = ("Darwin", "Windows")  # as platform.system() names them
DEFAULT_PORTS = {"http": 80, "https": 443, "socks5": 1080}
# GNOME and some VPN clients export `socks://`; every SOCKS proxy they mean speaks version 5.
_SCHEMES = {"http": "http", "https": "https", "socks5": "socks5", "socks5h": "socks5", "socks": "socks5"}


@dataclass(frozen=True)
class Proxy:
    """One proxy server. `scheme` is `http`, `https` or `socks5`; `str()` leaves out user name and password."""

    scheme: str
    host: str
    port: int
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


def parse_proxy(text: str) -> Proxy:
    """The proxy that a setting or variable names; without a scheme it is `http://`.

    Raises ValueError with a sentence that never repeats a password.
    """
    text = text.strip()
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        port = parts.port
    except ValueError:
        raise ValueError("the proxy address is not a URL with a valid host and port") from None
    scheme = _SCHEMES.get(parts.scheme.lower())
    if scheme is None:
        raise ValueError(f"a proxy must be http, https or socks5, not {parts.scheme}")
    if not parts.hostname:
        raise ValueError("the proxy address names no host")
    return Proxy(
        scheme=scheme,
        host=parts.hostname,
        port=DEFAULT_PORTS[scheme] if port is None else port,
        username=None if parts.username is None else unquote(parts.username),
        password=None if parts.password is None else unquote(parts.password),
    )


def basic_authorization(proxy: Proxy) -> bytes | None:
    """The value of a Proxy-Authorization header, or None when the proxy's URL names no user."""
    if proxy.username is None:
        return None
    pair = f"{proxy.username}:{proxy.password or ''}".encode()
    return b"Basic " + base64.b64encode(pair)


def environment_proxy(scheme: str, host: str, port: int, environment: Mapping[str, str]) -> Proxy | None:
    """The proxy that `environment` names for `scheme://host:port`, or None for a direct connection.

    Reads `<scheme>_proxy`, then `all_proxy`, then `no_proxy`; of the two cases the lower one counts first, as in curl.
    Raises ValueError for an address that cannot be used.
    """
    if bypassed_by_environment(host, port, environment):
        return None
    for name in (f"{scheme}_proxy", "all_proxy"):
        value = _variable(name, environment)
        if value:
            return parse_proxy(value)
    return None


def bypassed_by_environment(host: str, port: int, environment: Mapping[str, str]) -> bool:
    """Whether loopback or `no_proxy` keeps `host` away from any proxy."""
    return is_loopback(host) or bypasses(_variable("no_proxy", environment), host, port)


def bypasses(no_proxy: str, host: str, port: int) -> bool:
    """Whether the list `no_proxy` holds `host:port`.

    Entries are separated by commas or blanks: `*`, a name (itself and everything below it, with or without a leading
    dot or `*.`), an IP address, a network such as `10.0.0.0/8` (only for hosts given as addresses, nothing is
    resolved), each but the network with an optional `:port`.
    """
    host = _plain(host)
    address = _address(host)
    return any(_matches(entry, host, address, port) for entry in re.split(r"[\s,]+", no_proxy) if entry)


def is_loopback(host: str) -> bool:
    """Whether `host` is this machine by name or by address."""
    host = _plain(host)
    address = _address(host)
    return host == "localhost" or host.endswith(".localhost") or (address is not None and address.is_loopback)


def platform_proxy(scheme: str, host: str) -> Proxy | None:
    """The proxy of the macOS or Windows network settings; None elsewhere. May block: call it off the event loop."""
    if platform.system() not in PLATFORMS_WITH_SETTINGS:
        return None
    import urllib.request

    found = urllib.request.getproxies()
    value = found.get(scheme)
    if not value and found.get("socks"):
        # Python names a scheme here that means nothing: http on macOS, socks on Windows.
        value = "socks5://" + found["socks"].rpartition("://")[2]
    if not value or urllib.request.proxy_bypass(host):
        return None
    return parse_proxy(value)


def _matches(entry: str, host: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address | None, port: int) -> bool:
    if entry == "*":
        return True
    if "/" in entry:
        try:
            return address is not None and address in ipaddress.ip_network(entry, strict=False)
        except ValueError:
            return False
    name, wanted_port = _split_port(entry)
    if wanted_port is not None and wanted_port != port:
        return False
    name = _plain(name)
    if address is not None:
        return _address(name) == address
    name = name[1:] if name.startswith("*.") else name
    name = name.lstrip(".")
    return bool(name) and (host == name or host.endswith("." + name))


def _split_port(entry: str) -> tuple[str, int | None]:
    bracketed = re.fullmatch(r"\[([^\]]*)\](?::(\d+))?", entry)
    if bracketed:
        return bracketed[1], int(bracketed[2]) if bracketed[2] else None
    # More than one colon is a bare IPv6 address, which has no room for a port.
    named = re.fullmatch(r"([^:]*):(\d+)", entry)
    return (named[1], int(named[2])) if named else (entry, None)


def _plain(host: str) -> str:
    return host.strip("[]").rstrip(".").lower()


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _variable(name: str, environment: Mapping[str, str]) -> str:
    # A lower-case variable that is set but empty switches the upper-case one off.
    value = environment.get(name)
    return (environment.get(name.upper(), "") if value is None else value).strip()
