"""Settings files that are not what they should be: one sentence each, and the layers below apply."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from codestral_ls.settings import files, load


@pytest.mark.parametrize(
    ("content", "place"),
    [
        ("max_tokens = \n", "line 1, column 14"),
        ("max_tokens = 9\n\n[languages.c\n", "line 3, column 13"),
        ("max_tokens = 9\ntemperature = 'x", "line 2, column 17"),
        ("a = 1\na = 2\n", "line 2, column"),
        ("a = 2026-13-45\n", "line 1, column"),
    ],
)
@pytest.mark.parametrize("layer", ["user", "project"])
def test_a_syntax_error_gives_line_and_column_and_skips_the_layer(
    load_layers: Any, layer: str, content: str, place: str
) -> None:
    loaded = load_layers(environment={"CODESTRAL_LS_MAX_TOKENS": "12"}, **{layer: content})
    [problem] = loaded.problems
    assert problem.level == "error"
    assert (".codestral.toml" if layer == "project" else "config.toml") in problem.message
    assert f"is not valid TOML at {place}" in problem.message
    assert loaded.settings.max_tokens == 12


def test_a_syntax_error_repeats_nothing_of_the_line(load_layers: Any) -> None:
    [problem] = load_layers(user='api_key = "hunter2\nmax_tokens = 1').problems
    assert "line 1" in problem.message
    assert "hunter2" not in problem.message


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"max_tokens = 9\n# \xff\xfe\n", "is not UTF-8 (line 2)"),
        ("max_tokens = 9".encode("utf-16"), "is not UTF-8 (line 1)"),
        (b"# " + b"x" * files.MAX_BYTES, "is larger than 1,000,000 bytes"),
        (b"x = " + b"[" * 100_000, "is nested too deeply"),
        (b"x = " + b"9" * 100_000, "a number that is too long"),
        (b"a." * 3000 + b"a = 1", "more than 32 parts"),
        (b'"a" . ' * 3000 + b"a = 1", "more than 32 parts"),
        (b"'!'\t.\t" * 3000 + b"a = 1", "more than 32 parts"),
        (b'"\\"" . ' * 3000 + b"a = 1", "more than 32 parts"),
        (b"[" + b"a . " * 3000 + b"a]", "more than 32 parts"),
        (b'x = { y = """ " \' """, ' + b"a." * 3000 + b"a = 1 }", "more than 32 parts"),
    ],
    ids=["bytes", "utf-16", "huge", "deep", "long-number", "bare", "quoted", "literal", "escaped", "table", "hidden"],
)
def test_a_file_that_cannot_be_used_is_one_sentence(load_layers: Any, content: bytes, sentence: str) -> None:
    loaded = load_layers(user="requests_per_minute = 2", project=content)
    [problem] = loaded.problems
    assert problem.level == "error"
    assert sentence in problem.message
    assert loaded.settings.max_tokens == 256
    assert loaded.settings.requests_per_minute == 2


@pytest.mark.parametrize(
    "content",
    [
        "max_tokens = 9\n# " + "x." * 20,
        "max_tokens = 9\nexclude = [" + '"*.pem", ' * 500 + "]",
        "max_tokens = 9\n# " + "." * 5000,
        "max_tokens = 9\nexclude = ['" + "a." * 30 + "']",
        "max_tokens = 9\n" + "\n".join(f"x{index} = 1.5" for index in range(5)),
    ],
    ids=["comment", "globs", "dots", "one-glob", "decimals"],
)
def test_dots_elsewhere_than_in_a_key_are_no_matter(load_layers: Any, content: str) -> None:
    loaded = load_layers(user=content)
    assert loaded.settings.max_tokens == 9
    assert all(problem.level == "warning" for problem in loaded.problems)


def test_a_byte_order_mark_is_remarked_on_and_read_past(load_layers: Any) -> None:
    loaded = load_layers(user=b"\xef\xbb\xbfmax_tokens = 9")
    [problem] = loaded.problems
    assert problem.level == "warning"
    assert "byte order mark" in problem.message
    assert loaded.settings.max_tokens == 9


def test_line_ends_of_windows_are_fine(load_layers: Any) -> None:
    loaded = load_layers(user=b"max_tokens = 9\r\nrequests_per_minute = 2\r\n")
    assert loaded.problems == ()
    assert loaded.settings.max_tokens == 9


def test_a_directory_in_place_of_the_file(tmp_path: Path) -> None:
    (tmp_path / ".codestral.toml").mkdir()
    loaded = load(environment={}, user_config=None, editor=None, workspace_root=tmp_path)
    [problem] = loaded.problems
    assert problem.message == f"project file {tmp_path / '.codestral.toml'} is a directory, not a file"


@pytest.mark.skipif(os.name != "posix", reason="named pipes and devices of POSIX")
@pytest.mark.parametrize("target", ["pipe", "/dev/zero", "/dev/tty"])
def test_a_link_to_what_never_ends_is_not_waited_for(tmp_path: Path, target: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / ".codestral.toml").symlink_to(tmp_path / target)
    loaded = load(environment={}, user_config=None, editor=None, workspace_root=tmp_path)
    [problem] = loaded.problems
    assert problem.level == "error"
    assert str(tmp_path) in problem.message


def test_a_link_to_itself(tmp_path: Path) -> None:
    (tmp_path / ".codestral.toml").symlink_to(tmp_path / ".codestral.toml")
    [problem] = load(environment={}, user_config=None, editor=None, workspace_root=tmp_path).problems
    assert "cannot be read" in problem.message


def test_a_file_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "config.toml"
    path.write_text("max_tokens = 9")

    def refuse(*_arguments: object) -> int:
        raise PermissionError(13, "Permission denied")

    # The tests may run as root, whom no mode keeps out.
    monkeypatch.setattr(files.os, "open", refuse)
    [problem] = load(environment={}, user_config=path, editor=None, workspace_root=None).problems
    assert problem.message == f"user config {path} cannot be read: Permission denied"


def test_a_path_with_a_null_character() -> None:
    loaded = load(environment={}, user_config=Path("a\0b"), editor=None, workspace_root=None)
    assert len(loaded.problems) == 1
