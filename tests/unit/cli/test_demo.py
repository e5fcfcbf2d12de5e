"""The demo: what the simulated person types and takes, what is seen of it, and what is said at the end."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.lsp_client import Run, write_config

from codestral_ls.cli import screen
from codestral_ls.cli.demo import (
    FILE_CHARS,
    FILE_LINES,
    Figures,
    pause_after,
    read_script,
    wanted_part,
)
from codestral_ls.cli.failure import Failure
from codestral_ls.cli.place import is_count
from codestral_ls.cli.screen import CURSOR, DIM, UNSHOWN, Terminal, cells, cut, rows

CLOSED_PORT = "http://127.0.0.1:9"
REPEATING = "".join(f"def handle_{name}(request):\n    return respond(request)\n\n" for name in ("one", "two", "six"))


def shown(row: str) -> str:
    """A row without its escape sequences."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", row)


def width(text: str) -> int:
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )


# The whole.


def test_without_a_terminal_it_writes_plain_lines_and_figures(run: Run) -> None:
    result = run("demo", MISTRAL_API_KEY=None, CODESTRAL_LS_BASE_URL=None)
    assert result.returncode == 0, result.stderr
    *lines, taken, waited = result.stdout.splitlines()
    assert "\x1b" not in result.stdout
    assert "sandbox" in lines[1]
    found = re.fullmatch(
        r"(\d+) suggestions, (\d+) accepted(?: \(\d+ in part\))?; (\d+) keys typed, (\d+) saved \(\d+ %\)", taken
    )
    assert found, taken
    suggestions, accepted, typed, saved = map(int, found.groups())
    assert suggestions == sum(line.startswith("  suggested: ") for line in lines)
    assert accepted == sum(line.startswith("  accepted:  ") for line in lines) > 0
    assert saved > typed > 30
    assert "simulated pace" in waited


def test_it_is_of_use_in_a_file_that_repeats_itself_whatever_the_user_has_switched_off(
    run: Run, work: Path, tmp_path: Path
) -> None:
    write_config(tmp_path, 'enabled = false\ntrigger = "manual"\n[languages.python]\nenabled = false\n')
    (work / "a.py").write_text(REPEATING)
    result = run("demo", "a.py:4", MISTRAL_API_KEY=None, CODESTRAL_LS_BASE_URL=None)
    assert result.returncode == 0, result.stderr
    assert re.search(r"accepted:  .*respond\(request\)", result.stdout)
    assert "Inventory" not in result.stdout
    assert "self._items" not in result.stdout


def test_it_fails_when_no_suggestion_comes(run: Run, work: Path) -> None:
    (work / "a.py").write_text("one = 1\n")
    result = run("demo", "a.py:1", CODESTRAL_LS_BASE_URL=CLOSED_PORT)
    assert result.returncode == 1
    assert "doctor" in result.stderr
    assert "Traceback" not in result.stderr
    assert "simulated" not in result.stdout


# The script.


def test_the_sample_is_typed_from_its_first_method() -> None:
    script = read_script(None)
    assert script.before.startswith('"""A small stock-keeping module')
    assert script.before.endswith("\n\n    ")
    assert script.target.startswith("def add(")
    assert script.after.startswith("\n")
    assert "def add(" not in script.after


def test_a_file_is_typed_from_the_line_on_and_nothing_of_it_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    text = "one\n\n  two\r\n" + "three\n" * 20
    path.write_bytes(text.encode())
    script = read_script(f"{path}:2")
    assert (script.before, script.target[:9]) == ("one\n\n  ", "two\nthree")
    assert script.target.count("\n") + 1 == FILE_LINES
    assert script.before + script.target + script.after == text.replace("\r\n", "\n")


def test_no_blank_line_is_typed_last(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_text("one\n\n\n\n\n\n\n\n\n\ntwo\n")
    assert read_script(f"{path}:1").target == "one"


def test_of_long_lines_little_is_typed(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_text("x" * 100_000 + "\n" + "y" * FILE_CHARS + "\nz\n")
    assert 0 < len(read_script(f"{path}:1").target) <= FILE_CHARS
    assert read_script(f"{path}:3").target == "z"


@pytest.mark.parametrize("place", ["nonsense", ":1", "a.py:", "a.py:0", "a.py:-1", "a.py:x", "a.py:" + "9" * 5000])
def test_what_is_no_place_is_wrong_usage(place: str) -> None:
    with pytest.raises(Failure, match="FILE:LINE") as caught:
        read_script(place)
    assert caught.value.code == 2
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("text", "count"),
    [("1", True), ("999999999", True), ("0", True), ("", False), ("-1", False), ("1.5", False), ("9" * 10, False)],
)
def test_counts(text: str, *, count: bool) -> None:
    assert is_count(text) is count


# What the person does.


@pytest.mark.parametrize(
    ("ghost", "target", "part"),
    [
        ("return total", "return total\n", "return total"),
        ("return total", "return totals", "return total"),
        ("return price", "return total", "return"),
        ("return totals", "return total", "return"),
        ("ApiError):\n    pass", "ApiError):\n    kind = 1", "ApiError):"),
        ("one", "one two", ""),
        ("x = 1", "y = 1", ""),
        ("a b c", "a d", ""),
        ("        x", "        y", ""),
        ("", "anything", ""),
    ],
)
def test_what_is_right_of_a_suggestion_is_taken_by_words(ghost: str, target: str, part: str) -> None:
    assert wanted_part(ghost, target) == part


WORDS = st.text(st.sampled_from("ab_ (\n."), max_size=20)


@given(WORDS, WORDS)
def test_nothing_is_taken_that_was_not_meant(ghost: str, target: str) -> None:
    part = wanted_part(ghost, target)
    assert ghost.startswith(part)
    assert target.startswith(part)


@pytest.mark.parametrize(
    ("typed", "pauses"),
    [("one\ntwo\n    ", True), ("one\n    ", False), ("one\n    self", True), ("one\ntwo\nself", False)],
)
def test_the_person_thinks_at_line_starts_or_after_the_first_characters(typed: str, *, pauses: bool) -> None:
    assert (pause_after(typed) > 0) is pauses


def test_the_person_thinks_before_a_name_and_in_a_long_one() -> None:
    assert pause_after("known = f(") > 0
    assert pause_after("known = fo", "r = 1") == 0
    assert pause_after("known = set", "tings") > 0
    assert pause_after("known = set", "s") == 0
    assert pause_after("known = sett", "ings") == 0


# The figures.


def test_figures_fit_into_a_terminal_and_leave_out_what_there_is_not() -> None:
    full = Figures(typed=1234, given=5678, shown=100, accepted=99, parts=50, waits=[0.4, 0.5, 0.6])
    taken, waited = full.lines(simulated=True)
    assert taken == "100 suggestions, 99 accepted (50 in part); 1234 keys typed, 5678 saved (82 %)"
    assert waited == "a suggestion came after 500 ms in the median (the sandbox's simulated pace)"
    assert max(len(taken), len(waited)) < 80
    assert "simulated" not in full.lines(simulated=False)[1]
    assert len(Figures(typed=3, shown=1).lines(simulated=True)) == 1


# The screen.


@pytest.mark.parametrize(
    ("text", "signs", "widths"),
    [
        ("ab", ["a", "b"], [1, 1]),
        ("漢字", ["漢", "字"], [2, 2]),
        ("Ａ😀", ["Ａ", "😀"], [2, 2]),
        ("e\u0301x", ["e\u0301", "x"], [1, 1]),
        ("a\tb", ["a", " ", " ", " ", "b"], [1] * 5),
        ("漢\tb", ["漢", " ", " ", "b"], [2, 1, 1, 1]),
        ("\x1b\x07\x9b\u202e\ud800\r", [UNSHOWN] * 6, [1] * 6),
        ("❤\ufe0f", ["❤"], [1]),
        ("\u0301", [], []),
    ],
    ids=ascii,
)
def test_cells(text: str, signs: list[str], widths: list[int]) -> None:
    found = cells([(text, "")])
    assert [cell.text for cell in found] == signs
    assert [cell.width for cell in found] == widths


def test_what_the_terminal_cannot_encode_is_a_question_mark() -> None:
    assert "".join(cell.text for cell in cells([("é漢", "")], "latin-1")) == "é?"
    assert cut(cells([("x" * 20, "")], "ascii"), 10, 0, "ascii")[-1].text == "?"


@pytest.mark.parametrize(
    ("text", "room", "cursor", "kept"),
    [
        ("0123456789", 10, 0, "0123456789"),
        ("0123456789x", 10, 0, "012345678…"),
        ("漢漢漢漢漢漢", 10, 0, "漢漢漢漢…"),
        ("漢漢漢漢漢x", 10, 0, "漢漢漢漢…"),
        ("0123456789abcdefghij", 10, 19, "…bcdefghij"),
        ("0123456789abcdefghij", 10, 12, "…6789abcd…"),
    ],
)
def test_cut_lines_are_marked(text: str, room: int, cursor: int, kept: str) -> None:
    assert "".join(cell.text for cell in cut(cells([(text, "")]), room, cursor)) == kept


@given(st.text(max_size=60), st.integers(9, 40), st.integers(0, 59))
def test_every_line_fits_and_shows_the_place(text: str, room: int, cursor: int) -> None:
    line = cells([(text, "")])
    cursor = min(cursor, len(line))
    line.insert(cursor, screen.Cell("█", 1, CURSOR))
    kept = cut(line, room, cursor)
    assert sum(cell.width for cell in kept) <= room
    assert line[cursor] in kept


@given(st.text(max_size=40), st.text(max_size=40), st.text(max_size=40), st.integers(1, 9), st.integers(16, 50))
def test_every_frame_has_its_size(before: str, ghost: str, after: str, height: int, columns: int) -> None:
    frame = rows(before, ghost, after, height, columns)
    assert len(frame) == height
    assert all(width(shown(row)) < columns for row in frame)
    assert sum(CURSOR in row for row in frame) == 1


def test_ghost_text_is_dim_from_the_cursor_on_and_the_rest_is_not() -> None:
    (row,) = rows("ab", "cd", "ef", 1, 80)
    assert row.endswith(f"ab\x1b[m{DIM}{CURSOR}c\x1b[m{DIM}d\x1b[mef")
    first, second = rows("ab", "c\nd", "ef\ng", 2, 80)
    assert (shown(first), shown(second)) == ("   1  abc", "   2  def")


def test_the_terminal_gets_its_cursor_back(capsys: pytest.CaptureFixture[str]) -> None:
    def draw() -> None:
        with Terminal(Path("a.py")) as terminal:
            terminal.draw("a", "b", "c")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        draw()
    out = capsys.readouterr().out
    assert out.count("\x1b[?25l") == 1
    assert out.rindex("\x1b[?25h") > out.rindex("\x1b[?25l")
    assert out.rindex("\x1b[?7h") > out.rindex("\x1b[?7l")
