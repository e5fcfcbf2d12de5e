"""What each setting accepts and what it refuses."""

from __future__ import annotations

import math
from typing import Any

import pytest

from codestral_ls.settings import SETTINGS, Settings, Timeouts

GOOD: list[tuple[str, object, object]] = [
    ("api_key", "abcdef", "abcdef"),
    ("api_key_command", ["pass", "show", "mistral"], ("pass", "show", "mistral")),
    ("base_url", "https://api.mistral.ai/v1/", "https://api.mistral.ai"),
    ("provider", "sandbox", "sandbox"),
    ("provider", "Mistral", "mistral"),
    ("fim_model", "ft:codestral-latest:me:20260101:abc", "ft:codestral-latest:me:20260101:abc"),
    ("temperature", 0, 0),
    ("temperature", 1.5, 1.5),
    ("top_p", 1, 1),
    ("top_p", 0.001, 0.001),
    ("max_tokens", 1, 1),
    ("max_tokens", 512.0, 512),
    ("max_tokens", 32_768, 32_768),
    ("stop", "\n\n", ("\n\n",)),
    ("stop", ["a", "b"], ("a", "b")),
    ("enabled", False, False),
    ("trigger", "manual", "manual"),
    ("debounce_ms", 0, 0),
    ("debounce_ms", 10_000, 10_000),
    ("debounce_ms", "adaptive", "adaptive"),
    ("multiline", "always", "always"),
    ("multiline", "never", "never"),
    ("prefix_chars", 1, 1),
    ("prefix_chars", 200_000, 200_000),
    ("suffix_chars", 0, 0),
    ("exclude", ["*.pem", "!docs/*.pem"], ("*.pem", "!docs/*.pem")),
    ("exclude", "*.pem", ("*.pem",)),
    ("requests_per_minute", 1, 1),
    ("timeout_ms", 900, Timeouts(900, 900)),
    ("timeout_ms", {"fim": 900}, Timeouts(900, 60_000)),
    ("timeout_ms", {"chat": 900}, Timeouts(8_000, 900)),
    ("timeout_ms", [], Timeouts()),
    ("proxy", "none", "none"),
    ("proxy", "socks5h://user:secret@proxy.example:1080", "socks5h://user:secret@proxy.example:1080"),
    ("proxy", "http://[::1]:3128", "http://[::1]:3128"),
    ("ca_file", "/etc/ssl/corporate.pem", "/etc/ssl/corporate.pem"),
    ("verify", False, False),
    ("allow_insecure", True, True),
    ("log_level", "DEBUG", "debug"),
    ("languages", {"python": {"enabled": False}}, {"python": {"enabled": False}}),
    ("languages", [], {}),
    ("languages", {"c": []}, {}),
]

BAD: list[tuple[str, object]] = [
    ("api_key", 5),
    ("api_key", ["k"]),
    ("api_key_command", "pass show mistral"),
    ("api_key_command", []),
    ("api_key_command", ["pass", 5]),
    ("api_key_command", [" "]),
    ("base_url", 5),
    ("base_url", "api.mistral.ai"),
    ("provider", "copilot"),
    ("provider", "ollama"),
    ("provider", "llama.cpp"),
    ("provider", "openai"),
    ("fim_model", ""),
    ("fim_model", "a\nb"),
    ("fim_model", "m" * 201),
    ("temperature", -0.1),
    ("temperature", 1.6),
    ("temperature", True),
    ("temperature", "0.5"),
    ("temperature", math.nan),
    ("top_p", 0),
    ("top_p", 1.01),
    ("top_p", math.inf),
    ("max_tokens", 0),
    ("max_tokens", 1.5),
    ("max_tokens", True),
    ("max_tokens", 32_769),
    ("max_tokens", 10**30),
    ("stop", 5),
    ("stop", {"a": 1}),
    ("stop", ["x"] * 17),
    ("enabled", 1),
    ("enabled", "yes"),
    ("trigger", "always"),
    ("trigger", True),
    ("debounce_ms", -1),
    ("debounce_ms", 10_001),
    ("debounce_ms", True),
    ("debounce_ms", "fast"),
    ("multiline", True),
    ("prefix_chars", 0),
    ("prefix_chars", 200_001),
    ("suffix_chars", -1),
    ("exclude", {"a": 1}),
    ("requests_per_minute", 0),
    ("timeout_ms", 99),
    ("timeout_ms", "8s"),
    ("timeout_ms", True),
    ("proxy", "proxy.example:3128"),
    ("proxy", "ftp://proxy.example"),
    ("proxy", "http://"),
    ("proxy", "http://proxy.example:99999"),
    ("ca_file", "certificates/ca.pem"),
    ("ca_file", 5),
    ("verify", 0),
    ("allow_insecure", "true"),
    ("log_level", "loud"),
    ("languages", "python"),
    ("languages", ["python"]),
    ("languages", {"python": False}),
]


def _named(rows: list[Any]) -> list[Any]:
    return [pytest.param(*row, id=f"{row[0]}-{str(row[1])[:30]!a}") for row in rows]


@pytest.mark.parametrize(("name", "given", "held"), _named(GOOD))
def test_a_good_value_is_held_without_a_word(load_layers: Any, name: str, given: object, held: object) -> None:
    loaded = load_layers(editor={name: given})
    assert loaded.problems == ()
    assert getattr(loaded.settings, name) == held
    assert loaded.refused == frozenset()


@pytest.mark.parametrize(("name", "given"), _named(BAD))
def test_a_bad_value_is_one_error_and_the_value_below_applies(load_layers: Any, name: str, given: object) -> None:
    loaded = load_layers(editor={name: given})
    assert [problem.level for problem in loaded.problems] == ["error"]
    message = loaded.problems[0].message
    assert message.startswith(f"editor settings: {name}")
    assert "expected" in message
    assert getattr(loaded.settings, name) == SETTINGS[name].default
    assert loaded.refused == {name}


def test_both_tables_cover_every_setting() -> None:
    assert {row[0] for row in GOOD} == set(SETTINGS) == {row[0] for row in BAD}


def test_the_defaults_are_those_promised() -> None:
    settings = Settings()
    assert (settings.base_url, settings.provider) == ("auto", "mistral")
    assert settings.fim_model == "codestral-latest"
    assert (settings.temperature, settings.top_p, settings.max_tokens, settings.stop) == (0.1, None, 256, ())
    assert (settings.prefix_chars, settings.suffix_chars) == (12_000, 4_000)
    assert (settings.trigger, settings.debounce_ms, settings.multiline) == ("auto", "adaptive", "auto")
    assert (settings.timeout_ms.fim, settings.timeout_ms.chat) == (8_000, 60_000)
    assert settings.enabled
    assert settings.verify
    assert not settings.allow_insecure
    assert settings.log_level == "warning"


@pytest.mark.parametrize("name", ["ollama", "llama.cpp", "openai"])
def test_a_provider_of_a_later_version_is_told_apart_from_nonsense(load_layers: Any, name: str) -> None:
    assert "later version" in load_layers(editor={"provider": name}).problems[0].message
    assert "later version" not in load_layers(editor={"provider": "copilot"}).problems[0].message


@pytest.mark.parametrize("name", ["api_key", "base_url", "proxy", "ca_file"])
def test_a_field_left_empty_in_an_editor_form_sets_nothing(load_layers: Any, name: str) -> None:
    user = {
        "api_key": "abcdef",
        "base_url": "https://gateway.example",
        "proxy": "none",
        "ca_file": "/ca.pem",
    }
    loaded = load_layers(user=f'{name} = "{user[name]}"', editor={name: ""})
    assert getattr(loaded.settings, name) == user[name]
    assert loaded.problems == ()


def test_in_a_list_only_the_bad_entry_is_dropped(load_layers: Any) -> None:
    loaded = load_layers(editor={"exclude": ["*.a", 5, "", "*.b"]})
    assert loaded.settings.exclude == ("*.a", "*.b")
    assert [problem.message for problem in loaded.problems] == [
        "editor settings: exclude[1]: expected a non-empty string, got 5",
        'editor settings: exclude[2]: expected a non-empty string, got ""',
    ]


def test_in_a_nested_table_only_the_bad_entry_is_dropped(load_layers: Any) -> None:
    loaded = load_layers(
        user="timeout_ms = { fim = 3000, chat = 9000 }", editor={"timeoutMs": {"fim": 2000, "chat": "long", "x": 1}}
    )
    assert loaded.settings.timeout_ms == Timeouts(fim=2000, chat=9000)
    assert [problem.message for problem in loaded.problems] == [
        'editor settings: timeout_ms.chat: expected a number from 100 to 3600000, got "long"',
        "editor settings: timeout_ms.x: expected one of fim, chat as the name, got 1",
    ]


@pytest.mark.parametrize("name", [name for name, setting in SETTINGS.items() if setting.secret])
def test_what_may_hold_a_secret_is_not_repeated_in_a_message(load_layers: Any, name: str) -> None:
    for value in ("https://user:hunter2@", {"hunter2": 1}, ["", "hunter2", 5], 'hunter2"@x/', "hunter2:8@x"):
        for problem in load_layers(editor={name: value}).problems:
            assert "hunter2" not in problem.message


def test_a_settings_repr_shows_no_secret() -> None:
    settings = Settings(api_key="hunter2", api_key_command=("echo", "hunter2"), proxy="http://u:hunter2@proxy.example")
    assert "hunter2" not in repr(settings)
    assert "codestral-latest" in repr(settings)


class TestGreedySampling:
    """Temperature 0 and a top_p other than 1: the API refuses the pair."""

    def test_top_p_is_left_out_with_one_problem(self, load_layers: Any) -> None:
        loaded = load_layers(user="top_p = 0.9", editor={"temperature": 0})
        assert loaded.settings.top_p is None
        assert loaded.settings.temperature == 0
        [problem] = loaded.problems
        assert "temperature from editor settings" in problem.message
        assert "top_p from user config" in problem.message

    @pytest.mark.parametrize("pair", [{"temperature": 0, "top_p": 1}, {"temperature": 0.1, "top_p": 0.9}])
    def test_pairs_that_the_api_takes_stay(self, load_layers: Any, pair: dict[str, float]) -> None:
        loaded = load_layers(editor=pair)
        assert loaded.problems == ()
        assert loaded.settings.top_p == pair["top_p"]

    def test_a_top_p_of_1_stays_per_language_too(self, load_layers: Any) -> None:
        loaded = load_layers(user="top_p = 1\n[languages.go]\ntemperature = 0")
        assert loaded.problems == ()
        assert loaded.settings.for_language("go").top_p == 1

    def test_it_is_settled_per_language_too(self, load_layers: Any) -> None:
        loaded = load_layers(user="top_p = 0.9\n[languages.go]\ntemperature = 0\n[languages.c]\nmax_tokens = 9")
        assert loaded.settings.top_p == 0.9
        assert loaded.settings.for_language("go").top_p is None
        assert loaded.settings.for_language("c").top_p == 0.9
        [problem] = loaded.problems
        assert problem.message.startswith("languages.go: ")


class TestLanguages:
    def test_overrides_apply_to_that_language_only(self, load_layers: Any) -> None:
        editor = {"maxTokens": 100, "languages": {"python": {"maxTokens": 50, "fimModel": "ft:x"}}}
        settings = load_layers(editor=editor).settings
        assert settings.for_language("python").max_tokens == 50
        assert settings.for_language("python").fim_model == "ft:x"
        assert settings.for_language("python").temperature == settings.temperature
        assert settings.for_language("rust") is settings

    def test_the_merged_settings_are_made_once(self, load_layers: Any) -> None:
        settings = load_layers(editor={"languages": {"python": {"enabled": False}}}).settings
        assert settings.for_language("python") is settings.for_language("python")

    def test_layers_merge_entry_by_entry(self, load_layers: Any) -> None:
        loaded = load_layers(
            user="[languages.go]\nmax_tokens = 10\ntemperature = 0.5\n[languages.c]\nenabled = false",
            project="[languages.go]\nmax_tokens = 20",
        )
        go = loaded.settings.for_language("go")
        assert (go.max_tokens, go.temperature) == (20, 0.5)
        assert not loaded.settings.for_language("c").enabled

    def test_a_language_id_is_not_a_setting_name(self, load_layers: Any) -> None:
        loaded = load_layers(editor={"languages": {"objective-c": {"maxTokens": 7}, "plainTeX": {"maxTokens": 8}}})
        assert loaded.problems == ()
        assert loaded.settings.for_language("objective-c").max_tokens == 7
        assert loaded.settings.for_language("plainTeX").max_tokens == 8

    def test_a_bad_entry_leaves_its_neighbours(self, load_layers: Any) -> None:
        loaded = load_layers(editor={"languages": {"go": {"temperature": 9, "maxTokens": 7}, "c": 5}})
        assert loaded.settings.for_language("go").max_tokens == 7
        assert [problem.message for problem in loaded.problems] == [
            "editor settings: languages.go.temperature: expected a number from 0 to 1.5, got 9",
            "editor settings: languages.c: expected a table, got 5",
        ]

    def test_what_is_not_of_one_language_stands_outside(self, load_layers: Any) -> None:
        loaded = load_layers(editor={"languages": {"go": {"proxy": "none", "languages": {}, "tempature": 1}}})
        assert [problem.level for problem in loaded.problems] == ["error", "error", "warning"]
        assert loaded.problems[2].message.endswith("unknown setting; did you mean temperature?")
        assert loaded.settings.for_language("go") is loaded.settings


class TestSettingsOfALaterVersion:
    @pytest.mark.parametrize(
        "editor",
        [
            {"speculation": "off"},
            {"speculation": "shown"},
            {"context": False},
            {"context": {"openFiles": False, "maxChars": 100}},
            {"context": []},
            {"languages": {"c": {"context": False}}},
        ],
        ids=str,
    )
    def test_those_that_only_switch_off_are_taken_in_silence(self, load_layers: Any, editor: object) -> None:
        assert load_layers(editor=editor).problems == ()

    @pytest.mark.parametrize(
        "editor", [{"speculation": "on"}, {"context": "off"}, {"context": {"maxChars": -1}}], ids=str
    )
    def test_their_wrong_values_are_errors_already(self, load_layers: Any, editor: object) -> None:
        assert [problem.level for problem in load_layers(editor=editor).problems] == ["error"]

    @pytest.mark.parametrize("name", ["actions", "instructions", "tokens_per_minute", "daily_budget", "monthly_budget"])
    def test_the_others_are_one_remark(self, load_layers: Any, name: str) -> None:
        [problem] = load_layers(editor={name: 5}).problems
        assert problem.level == "info"
        assert "not yet effective" in problem.message
