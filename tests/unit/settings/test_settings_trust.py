"""What a repository may set in its own file, and what it may not."""

from __future__ import annotations

from typing import Any

import pytest

from codestral_ls.settings import SETTINGS

# Written out, not taken from the table, so that a slip in the table fails here.
MAY = {
    "temperature": "0.7",
    "top_p": "0.5",
    "max_tokens": "64",
    "stop": '["x"]',
    "enabled": "false",
    "languages": "{ c = { enabled = false } }",
    "trigger": '"manual"',
    "debounce_ms": "100",
    "multiline": '"never"',
    "prefix_chars": "100",
    "suffix_chars": "100",
    "exclude": '["*.sql"]',
}
MAY_NOT = {
    "api_key": '"attacker"',
    "api_key_command": '["sh", "-c", "evil"]',
    "base_url": '"https://evil.example"',
    "provider": '"sandbox"',
    "fim_model": '"x"',
    "requests_per_minute": "9",
    "timeout_ms": "9000",
    "proxy": '"http://evil.example"',
    "ca_file": '"/evil.pem"',
    "verify": "false",
    "allow_insecure": "true",
    "log_level": '"debug"',
}
MAY_NOT_LATER = {"tokens_per_minute": "9", "daily_budget": "9", "monthly_budget": "9"}


def test_the_two_lists_hold_every_setting() -> None:
    assert MAY.keys() | MAY_NOT.keys() == SETTINGS.keys()


@pytest.mark.parametrize(("name", "value"), MAY.items())
def test_a_repository_may_set(load_layers: Any, name: str, value: str) -> None:
    loaded = load_layers(project=f"{name} = {value}")
    assert loaded.problems == ()
    assert ".codestral.toml" in loaded.sources[name]
    assert getattr(loaded.settings, name) != SETTINGS[name].default


@pytest.mark.parametrize(("name", "value"), [*MAY_NOT.items(), *MAY_NOT_LATER.items()])
def test_a_repository_may_not_set(load_layers: Any, name: str, value: str) -> None:
    loaded = load_layers(project=f"{name} = {value}")
    [problem] = loaded.problems
    assert problem.level == "error"
    assert ".codestral.toml" in problem.message
    assert f"{name}: a repository may not set this" in problem.message
    if name in SETTINGS:
        assert getattr(loaded.settings, name) == SETTINGS[name].default
        assert loaded.sources[name] == "default"


@pytest.mark.parametrize(("name", "value"), MAY_NOT.items())
def test_the_user_may_set_what_a_repository_may_not(load_layers: Any, name: str, value: str) -> None:
    loaded = load_layers(user=f"{name} = {value}")
    assert loaded.problems == ()
    assert getattr(loaded.settings, name) != SETTINGS[name].default


@pytest.mark.parametrize("name", ["fim_model"])
def test_a_language_table_is_no_way_round_the_rule(load_layers: Any, name: str) -> None:
    value = MAY_NOT[name]
    loaded = load_layers(project=f"[languages.c]\n{name} = {value}\nmax_tokens = 5")
    [problem] = loaded.problems
    assert f"languages.c.{name}: a repository may not set this" in problem.message
    assert getattr(loaded.settings.for_language("c"), name) == SETTINGS[name].default
    assert loaded.settings.for_language("c").max_tokens == 5
    assert load_layers(project="", user=f"[languages.c]\n{name} = {value}").problems == ()


@pytest.mark.parametrize("written", ["baseUrl", '"base_url "', '"BASE_URL"', "verify_", "Verify"])
def test_another_spelling_is_no_way_round_the_rule(load_layers: Any, written: str) -> None:
    loaded = load_layers(project=f'{written} = "https://evil.example"')
    assert loaded.settings.base_url == "auto"
    assert [problem.level for problem in loaded.problems] == ["warning"]


def test_exclusions_of_a_repository_are_added(load_layers: Any) -> None:
    loaded = load_layers(user='exclude = ["*.pem", "*.sql"]', project='exclude = ["*.sql", "dump/"]')
    assert loaded.settings.exclude == ("*.pem", "*.sql", "dump/")
    assert "user config" in loaded.sources["exclude"]
    assert "project file" in loaded.sources["exclude"]


def test_an_empty_list_of_a_repository_takes_nothing_away(load_layers: Any) -> None:
    assert load_layers(user='exclude = ["*.pem"]', project="exclude = []").settings.exclude == ("*.pem",)


def test_exclusions_of_the_user_are_replaced_layer_by_layer(load_layers: Any) -> None:
    assert load_layers(user='exclude = ["*.pem"]', editor={"exclude": ["*.sql"]}).settings.exclude == ("*.sql",)


@pytest.mark.parametrize("glob", ["!*.pem", " !*.pem"])
def test_a_repository_may_not_take_an_exclusion_back(load_layers: Any, glob: str) -> None:
    loaded = load_layers(user='exclude = ["*.pem"]', project=f'exclude = ["{glob}", "*.sql"]')
    assert loaded.settings.exclude == ("*.pem", "*.sql")
    [problem] = loaded.problems
    assert "not take any back" in problem.message
    assert load_layers(user=f'exclude = ["{glob}"]', project="").problems == ()


@pytest.mark.parametrize(("name", "value"), [("actions", "{}"), ("instructions", '"Use tabs."'), ("context", "false")])
def test_settings_of_a_later_version_that_a_repository_may_set(load_layers: Any, name: str, value: str) -> None:
    assert all(problem.level == "info" for problem in load_layers(project=f"{name} = {value}").problems)
