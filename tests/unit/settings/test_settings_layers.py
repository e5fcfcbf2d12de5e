"""How the layers stack, and the spellings that each of them takes."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

import pytest

from codestral_ls.settings import load

LAYERS: list[dict[str, Any]] = [
    {"user": "max_tokens = 11"},
    {"environment": {"CODESTRAL_LS_MAX_TOKENS": "12"}},
    {"editor": {"maxTokens": 13}},
    {"project": "max_tokens = 14"},
]


@pytest.mark.parametrize("count", range(len(LAYERS) + 1))
def test_the_highest_layer_that_sets_a_value_wins(load_layers: Any, tmp_path: Path, count: int) -> None:
    given = {key: value for layer in LAYERS[:count] for key, value in layer.items()}
    loaded = load_layers(**given)
    assert loaded.settings.max_tokens == [256, 11, 12, 13, 14][count]
    assert (
        loaded.sources["max_tokens"]
        == [
            "default",
            f"user config {tmp_path / 'config.toml'}",
            "environment variable CODESTRAL_LS_MAX_TOKENS",
            "editor settings",
            f"project file {tmp_path / 'workspace' / '.codestral.toml'}",
        ][count]
    )
    assert loaded.problems == ()


@pytest.mark.parametrize("bad", range(len(LAYERS)))
def test_a_wrong_value_lets_the_one_below_through(load_layers: Any, bad: int) -> None:
    wrong: list[dict[str, Any]] = [
        {"user": "max_tokens = 0"},
        {"environment": {"CODESTRAL_LS_MAX_TOKENS": "many"}},
        {"editor": {"maxTokens": "many"}},
        {"project": "max_tokens = []"},
    ]
    given = {key: value for layer in [*LAYERS[:bad], wrong[bad]] for key, value in layer.items()}
    loaded = load_layers(**given)
    assert loaded.settings.max_tokens == [256, 11, 12, 13][bad]
    [problem] = loaded.problems
    assert "max_tokens: expected a whole number from 1 to 32768" in problem.message
    where = ["config.toml", "CODESTRAL_LS_MAX_TOKENS", "editor settings", ".codestral.toml"][bad]
    assert where in problem.message


def test_null_is_no_value(load_layers: Any) -> None:
    loaded = load_layers(
        user="max_tokens = 11",
        editor={"maxTokens": None, "languages": {"c": {"enabled": None}, "go": None}, "timeoutMs": {"fim": None}},
    )
    assert loaded.settings.max_tokens == 11
    assert loaded.problems == ()


@pytest.mark.parametrize("editor", [None, {}, []], ids=str)
def test_an_editor_that_sends_nothing_is_fine(load_layers: Any, editor: object) -> None:
    loaded = load_layers(user="max_tokens = 11", editor=editor)
    assert loaded.settings.max_tokens == 11
    assert loaded.problems == ()


@pytest.mark.parametrize("editor", ["settings", 5, True, ["a"], {"codestral": "x"}], ids=str)
def test_editor_settings_that_are_no_table_are_one_problem(load_layers: Any, editor: object) -> None:
    loaded = load_layers(user="max_tokens = 11", editor=editor)
    assert loaded.settings.max_tokens == 11
    [problem] = loaded.problems
    assert problem.level == "error"
    assert "expected a table" in problem.message


@pytest.mark.parametrize(
    ("written", "name", "value"),
    [
        ("maxTokens", "max_tokens", 9),
        ("max_tokens", "max_tokens", 9),
        ("baseUrl", "base_url", "https://h.example"),
        ("baseURL", "base_url", "https://h.example"),
        ("topP", "top_p", 0.5),
        ("caFile", "ca_file", "/c.pem"),
        ("CAFile", "ca_file", "/c.pem"),
        ("apiKeyCommand", "api_key_command", ["x"]),
        ("debounceMs", "debounce_ms", 3),
    ],
)
def test_the_editor_may_write_camel_case_or_snake_case(
    load_layers: Any, written: str, name: str, value: object
) -> None:
    loaded = load_layers(editor={written: value})
    assert loaded.sources[name] == "editor settings"
    assert loaded.problems == ()


def test_a_file_writes_snake_case_and_is_told_so(load_layers: Any) -> None:
    loaded = load_layers(user="maxTokens = 9")
    assert loaded.settings.max_tokens == 256
    assert loaded.problems[0].message.endswith("maxTokens: unknown setting; did you mean max_tokens?")


def test_settings_sent_under_the_section_name_are_unwrapped(load_layers: Any) -> None:
    assert load_layers(editor={"codestral": {"maxTokens": 9}}).settings.max_tokens == 9


def test_what_an_editors_client_keeps_in_our_section_is_not_unknown(load_layers: Any) -> None:
    assert load_layers(editor={"trace": {"server": "off"}, "client": "kate"}).problems == ()
    assert len(load_layers(user='trace = "off"').problems) == 1
    assert len(load_layers(user="", editor={"languages": {"c": {"trace": "off"}}}).problems) == 1


@pytest.mark.parametrize(
    ("variable", "text", "held"),
    [
        ("DEBOUNCE_MS", "0", 0),
        ("DEBOUNCE_MS", "adaptive", "adaptive"),
        ("DEBOUNCE_MS", '"adaptive"', "adaptive"),
        ("ENABLED", "false", False),
        ("ENABLED", " true ", True),
        ("BASE_URL", "http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("BASE_URL", "'http://127.0.0.1:8080'", "http://127.0.0.1:8080"),
        ("FIM_MODEL", "codestral-2508", "codestral-2508"),
        ("TEMPERATURE", "0.5", 0.5),
        ("STOP", '["a", "b"]', ("a", "b")),
        ("EXCLUDE", "*.pem", ("*.pem",)),
        ("API_KEY", "0123456789", "0123456789"),
        ("API_KEY", "true", "true"),
        ("LANGUAGES", "{python = {enabled = false}}", {"python": {"enabled": False}}),
        ("API_KEY_COMMAND", '["pass", "show"]', ("pass", "show")),
        ("FIM_MODEL", "", "codestral-latest"),
        ("MAX_TOKENS", "  ", 256),
    ],
)
def test_the_environment_is_read_as_toml_and_a_bare_word_as_text(
    load_layers: Any, variable: str, text: str, held: object
) -> None:
    loaded = load_layers(environment={f"CODESTRAL_LS_{variable}": text})
    assert getattr(loaded.settings, variable.lower()) == held
    assert loaded.problems == ()


@pytest.mark.parametrize(
    ("variable", "text"),
    [("ENABLED", "False"), ("MAX_TOKENS", "1\nverify = false"), ("CANDIDATES", "three"), ("LANGUAGES", '{"a": 1}')],
)
def test_an_environment_value_of_the_wrong_kind_names_its_variable(load_layers: Any, variable: str, text: str) -> None:
    loaded = load_layers(environment={f"CODESTRAL_LS_{variable}": text})
    [problem] = loaded.problems
    assert problem.message.startswith(f"environment variable CODESTRAL_LS_{variable}: {variable.lower()}: expected")
    assert loaded.settings.verify


def test_the_switches_of_a_measurement_are_taken_without_a_word(load_layers: Any) -> None:
    environment = {
        "CODESTRAL_LS_DEBOUNCE_MS": "0",
        "CODESTRAL_LS_SPECULATION": "off",
        "CODESTRAL_LS_CONTEXT": "false",
        "CODESTRAL_LS_MAX_TOKENS": "2000",
        "CODESTRAL_LS": "/usr/bin/codestral-ls",
        "CODESTRAL_LS_": "",
        "PATH": "/bin",
        "MISTRAL_API_KEY": "abc",
    }
    assert load_layers(environment=environment).problems == ()


@pytest.mark.parametrize(
    ("layer", "where"),
    [
        ({"user": "tempurature = 1"}, "config.toml: tempurature"),
        ({"environment": {"CODESTRAL_LS_TEMPURATURE": "1"}}, "CODESTRAL_LS_TEMPURATURE: tempurature"),
        ({"editor": {"tempurature": 1}}, "editor settings: tempurature"),
        ({"project": "tempurature = 1"}, ".codestral.toml: tempurature"),
    ],
)
def test_an_unknown_key_is_one_warning_with_the_nearest_name(
    load_layers: Any, layer: dict[str, Any], where: str
) -> None:
    [problem] = load_layers(**layer).problems
    assert problem.level == "warning"
    assert where in problem.message
    assert problem.message.endswith("unknown setting; did you mean temperature?")


def test_a_key_like_no_other_gets_no_guess(load_layers: Any) -> None:
    [problem] = load_layers(editor={"zzzz": 1}).problems
    assert problem.message == "editor settings: zzzz: unknown setting"


def test_keys_of_any_length_and_content_stay_on_one_short_line(load_layers: Any) -> None:
    loaded = load_layers(editor={"x" * 5000: 1, "a\nb\x1b[31m": 1, 5: 1, "trigger": "y\n" * 500})
    assert len(loaded.problems) == 4
    for problem in loaded.problems:
        assert len(problem.message) < 400
        assert problem.message.isprintable()


def test_a_flood_of_problems_is_cut_and_keeps_the_errors(load_layers: Any) -> None:
    unknown = "\n".join(f"nonsense_{index} = 1" for index in range(5000))
    loaded = load_layers(project=f'{unknown}\nproxy = "http://evil.example"')
    assert len(loaded.problems) == 21
    assert "proxy" in loaded.problems[0].message
    assert loaded.problems[0].level == "error"
    assert "4981 more" in loaded.problems[-1].message


def test_a_flood_of_unknown_keys_is_not_searched_for_near_ones(
    load_layers: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    searches: list[str] = []

    def search(name: str, *_rest: object, **_options: object) -> list[str]:
        searches.append(name)
        return []

    monkeypatch.setattr(difflib, "get_close_matches", search)
    load_layers(project="\n".join(f"nonsense_{index} = 1" for index in range(5000)))
    assert 1 <= len(searches) <= 20


def test_nothing_is_needed(tmp_path: Path) -> None:
    loaded = load(environment={}, user_config=None, editor=None, workspace_root=None)
    assert loaded.problems == ()
    assert set(loaded.sources.values()) == {"default"}
    assert load(environment={}, user_config=tmp_path / "no", editor=None, workspace_root=tmp_path / "no") == loaded
