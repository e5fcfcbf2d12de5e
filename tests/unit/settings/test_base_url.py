"""Which addresses a `base_url` leads to, and which it must never lead to."""

from __future__ import annotations

from typing import Any

import pytest

from codestral_ls.settings import Settings, endpoints
from codestral_ls.settings.hosts import BadBaseUrl, is_exposed, normalise


@pytest.mark.parametrize(
    ("written", "normal"),
    [
        ("auto", "auto"),
        (" AUTO ", "auto"),
        ("sandbox:", "sandbox:"),
        ("sandbox", "sandbox:"),
        ("sandbox://", "sandbox:"),
        ("https://api.mistral.ai", "https://api.mistral.ai"),
        ("https://api.mistral.ai/", "https://api.mistral.ai"),
        ("HTTPS://API.Mistral.AI", "https://api.mistral.ai"),
        ("https://api.mistral.ai/v1", "https://api.mistral.ai"),
        ("https://api.mistral.ai/v1/", "https://api.mistral.ai"),
        ("https://api.mistral.ai/v1/fim/completions", "https://api.mistral.ai"),
        ("https://api.mistral.ai/v1/fim/completions/", "https://api.mistral.ai"),
        ("https://codestral.mistral.ai/v1/chat/completions", "https://codestral.mistral.ai"),
        ("https://api.mistral.ai/v1/models", "https://api.mistral.ai"),
        ("https://api.mistral.ai/v1/models/codestral-latest", "https://api.mistral.ai"),
        ("https://gateway.example/mistral/v1", "https://gateway.example/mistral"),
        ("https://gateway.example/mistral/", "https://gateway.example/mistral"),
        ("https://gateway.example/v1beta", "https://gateway.example/v1beta"),
        ("https://gateway.example/v1/tenant", "https://gateway.example/v1/tenant"),
        ("https://gateway.example/@team", "https://gateway.example/@team"),
        ("https://gateway.example:443/x", "https://gateway.example/x"),
        ("https://gateway.example:8443", "https://gateway.example:8443"),
        ("http://127.0.0.1:080", "http://127.0.0.1"),
        ("http://localhost:11434/v1", "http://localhost:11434"),
        ("http://[::1]:8080/v1", "http://[::1]:8080"),
        ("https://[2001:DB8:0:0::1]", "https://[2001:db8::1]"),
        ("https://xn--bcher-kva.example", "https://xn--bcher-kva.example"),
    ],
)
def test_a_url_is_brought_to_one_spelling(written: str, normal: str) -> None:
    assert normalise(written) == normal
    assert normalise(normal) == normal


@pytest.mark.parametrize(
    ("written", "mend"),
    [
        ("", "scheme"),
        ("api.mistral.ai", 'write "https://api.mistral.ai"'),
        ("api.mistral.ai/v1", 'write "https://api.mistral.ai"'),
        ("localhost:8080", 'write "http://localhost:8080"'),
        ("127.0.0.1:8080/v1", 'write "http://127.0.0.1:8080"'),
        ("//api.mistral.ai", "scheme"),
        ("ftp://api.mistral.ai", "https://"),
        ("file:///etc/passwd", "https://"),
        ("javascript:alert(1)", "scheme"),
        ("https://user:pw@a.example", "without a user name or password"),
        ("https://", "host name"),
        ("https:///v1", "host name"),
        ("https://:443", "host name"),
        ("https://a.example:port", "host name"),
        ("https://a.example:0", "port from 1"),
        ("https://a.example:65536", "port from 1"),
        ("https://a.example?x=1", "? and #"),
        ("https://a.example/x#y", "? and #"),
        ("https://a.example\\@b.example", "plain ASCII"),
        ("https://a b.example", "plain ASCII"),
        ("https://a.example/\r\nX: y", "plain ASCII"),
        ("https://bücher.example", "xn--"),
        ("https://a.example／b", "plain ASCII"),
        ("https://[::1", "host name"),
        ("https://[1:2:3]", "IPv6"),
        ("https://[fe80::1%25eth0]", "host name"),
        ("https://-a.example", "host name"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused_with_the_mend(written: str, mend: str) -> None:
    with pytest.raises(BadBaseUrl) as refusal:
        normalise(written)
    assert mend in str(refusal.value)


@pytest.mark.parametrize(
    "written",
    [
        "https://user:hunter2@api.mistral.ai",
        "https://hunter2@api.mistral.ai/v1",
        "https://api.mistral.ai:443@hunter2.example",
        "user:hunter2@api.mistral.ai",
        "ftp://hunter2@x.example",
        "https://hunter2 @x.example",
    ],
)
def test_user_names_and_passwords_are_refused_and_never_repeated(load_layers: Any, written: str) -> None:
    with pytest.raises(BadBaseUrl) as refusal:
        normalise(written)
    assert "hunter2" not in str(refusal.value)
    [problem] = load_layers(user=f'base_url = "{written}"').problems
    assert "hunter2" not in problem.message


LOOPBACK = [
    "http://localhost",
    "http://LOCALHOST:8080/v1",
    "http://127.0.0.1:8080",
    "http://127.9.8.7",
    "http://[::1]",
]
REMOTE = [
    "http://api.mistral.ai",
    "http://10.0.0.5:8000",
    "http://0.0.0.0:8000",
    "http://[2001:db8::1]:80",
    "http://localhost.evil.example",
    "http://127.0.0.1.evil.example",
    "http://127.1",
    "http://2130706433",
    "http://0x7f.0.0.1",
    "http://0177.0.0.1",
    "http://mylocalhost",
]


@pytest.mark.parametrize("url", LOOPBACK)
def test_plain_http_to_this_machine_is_fine(load_layers: Any, url: str) -> None:
    loaded = load_layers(user=f'base_url = "{url}"')
    assert loaded.problems == ()
    assert endpoints(loaded.settings) == (normalise(url),)


@pytest.mark.parametrize("url", REMOTE)
def test_plain_http_to_another_machine_is_refused(load_layers: Any, url: str) -> None:
    assert is_exposed(normalise(url))
    loaded = load_layers(user='base_url = "https://below.example"', editor={"baseUrl": url})
    [problem] = loaded.problems
    assert problem.message.startswith("editor settings: base_url: expected https")
    assert "allow_insecure" in problem.message
    assert endpoints(loaded.settings) == ("https://below.example",)
    assert loaded.sources["base_url"].startswith("user config")
    assert loaded.refused == {"base_url"}


@pytest.mark.parametrize("url", REMOTE)
def test_plain_http_to_another_machine_can_be_allowed(load_layers: Any, url: str) -> None:
    loaded = load_layers(user="allow_insecure = true", environment={"CODESTRAL_LS_BASE_URL": url})
    assert loaded.problems == ()
    assert endpoints(loaded.settings) == (normalise(url),)


def test_the_highest_word_on_allow_insecure_counts(load_layers: Any) -> None:
    loaded = load_layers(user='allow_insecure = true\nbase_url = "http://10.0.0.5"', editor={"allowInsecure": False})
    assert endpoints(loaded.settings) == ("https://api.mistral.ai", "https://codestral.mistral.ai")


def test_a_repository_cannot_allow_it(load_layers: Any) -> None:
    loaded = load_layers(user='base_url = "http://10.0.0.5"', project="allow_insecure = true")
    assert "http://10.0.0.5" not in endpoints(loaded.settings)


def test_auto_is_both_hosts_in_order() -> None:
    assert endpoints(Settings()) == ("https://api.mistral.ai", "https://codestral.mistral.ai")


def test_one_url_is_that_one_alone() -> None:
    assert endpoints(Settings(base_url="https://gateway.example")) == ("https://gateway.example",)


@pytest.mark.parametrize(
    "settings", [Settings(base_url="sandbox:"), Settings(provider="sandbox", base_url="https://gateway.example")]
)
def test_the_sandbox_is_no_address(settings: Settings) -> None:
    assert endpoints(settings) == ("sandbox:",)
