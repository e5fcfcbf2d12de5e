"""The windows: whole texts where they fit, cut at lines where they do not, and one line or several."""

from __future__ import annotations

import pytest
from completion_helpers import ask
from hypothesis import given
from hypothesis import strategies as st

from codestral_ls.completion import gate, prompt
from codestral_ls.completion.prompt import SINGLE_LINE_TOKENS, prefix_window, suffix_window
from codestral_ls.completion.types import Ask, Trigger
from codestral_ls.settings import Settings
from codestral_ls.text.document import Snapshot
from codestral_ls.text.rope import Rope

EOLS = pytest.mark.parametrize("eol", ["\n", "\r\n", "\r"], ids=["LF", "CRLF", "CR"])


def snapshot(text: str) -> Snapshot:
    return Snapshot("file:///a.py", "python", 1, Rope.of(text))


def lines(count: int, eol: str) -> str:
    return "".join(f"line {number:05}{eol}" for number in range(count))


@EOLS
def test_a_text_that_fits_is_sent_exactly_as_it_is(eol: str) -> None:
    before, after = f"  a = 1{eol}\tb = 😀{eol}{eol}c = ", f"{eol}{eol}d = 2  {eol}"
    request = prompt.request(prompt.place(ask(f"{before}¦{after}")), Settings())
    assert (request.prompt, request.suffix) == (before, after)


def test_texts_exactly_as_long_as_the_windows_are_whole() -> None:
    text = snapshot("ab\ncd" + "ef\ngh")
    assert prefix_window(text, 5, 5) == "ab\ncd"
    assert suffix_window(text, 5, 5) == "ef\ngh"


def test_an_empty_document_has_empty_windows() -> None:
    place = prompt.place(ask("¦"))
    assert (place.before, place.after, place.eol) == ("", "", "\n")


@pytest.mark.parametrize("offset", [-5, 100])
def test_an_offset_out_of_the_text_is_clamped(offset: int) -> None:
    question = Ask(snapshot("ab\ncd"), offset, Trigger.AUTOMATIC, Settings())
    place = prompt.place(question)
    assert (place.before, place.after) == (("", "ab\ncd") if offset < 0 else ("ab\ncd", ""))


@EOLS
@pytest.mark.parametrize("offset", range(4000, 4012))
def test_windows_are_cut_at_lines(eol: str, offset: int) -> None:
    text = lines(2000, eol)
    before = prefix_window(snapshot(text), offset, 1000)
    after = suffix_window(snapshot(text), offset, 1000)
    assert text[:offset].endswith(before)
    assert text[offset:].startswith(after)
    assert before.startswith("line ")
    assert after.endswith(eol)
    assert 700 < len(before) <= 1000
    assert 900 < len(after) <= 1000


@EOLS
def test_the_beginning_stays_where_it_is_while_the_person_types(eol: str) -> None:
    text = lines(500, eol)
    starts = set()
    for typed in range(1000):
        document = snapshot(text + "x" * typed)
        offset = len(text) + typed
        starts.add(offset - len(prefix_window(document, offset, 2000)))
    assert len(starts) <= 3


@EOLS
def test_what_comes_after_the_cursor_stays_as_it_is_while_the_person_types(eol: str) -> None:
    text = lines(500, eol)
    windows = {suffix_window(snapshot("x" * typed + text), typed, 2000) for typed in range(100)}
    assert len(windows) == 1


def test_one_very_long_line_is_cut_in_its_middle() -> None:
    text = "x" * 9_000_000
    before = prefix_window(snapshot(text), 5_000_000, 12_000)
    after = suffix_window(snapshot(text), 5_000_000, 4000)
    assert 9000 <= len(before) <= 12_000
    assert len(after) == 4000


@EOLS
def test_a_line_cut_that_would_lose_most_of_the_window_is_not_made(eol: str) -> None:
    long = "x" * 5000
    assert len(prefix_window(snapshot(long + eol + "a = "), 5000 + len(eol) + 4, 1000)) > 700
    assert len(suffix_window(snapshot(eol + long), 0, 1000)) >= 999


@given(
    st.text(alphabet="ab\r\n", max_size=60),
    st.integers(0, 60),
    st.integers(1, 30),
)
def test_no_window_begins_or_ends_between_cr_and_lf(text: str, offset: int, chars: int) -> None:
    offset = min(offset, len(text))
    if text[offset - 1 : offset + 1] == "\r\n":
        offset += 1
    before = prefix_window(snapshot(text), offset, chars)
    after = suffix_window(snapshot(text), offset, chars)
    start, end = offset - len(before), offset + len(after)
    assert text[:offset].endswith(before)
    assert text[offset:].startswith(after)
    assert len(before) <= chars
    assert len(after) <= chars
    for at in (start, end):
        assert at == 0 or text[at - 1 : at + 1] != "\r\n"


class CountingRope(Rope):
    """A rope that counts the characters that are taken out of it."""

    __slots__ = ()
    taken = 0

    def slice(self, start: int, end: int) -> str:
        text = super().slice(start, end)
        CountingRope.taken += len(text)
        return text


@pytest.mark.parametrize(
    ("text", "offset"),
    [
        pytest.param("a = 1\n" * 1_500_000, 6 * 700_000, id="many lines"),
        pytest.param("x" * 9_000_000, 4_500_000, id="one line"),
        pytest.param(" " * 9_000_000, 4_500_000, id="one blank line"),
    ],
)
def test_nothing_costs_more_than_the_windows(text: str, offset: int) -> None:
    rope = CountingRope.of(text)
    CountingRope.taken = 0
    settings = Settings()
    question = Ask(Snapshot("file:///a.py", "python", 1, rope), offset, Trigger.AUTOMATIC, settings)
    gate.refuse(question)
    prompt.place(question)
    assert 4000 < CountingRope.taken < settings.prefix_chars + settings.suffix_chars + 1000


SEVERAL = [
    pytest.param("def f():\n    ¦", "python", id="a blank line in a block"),
    pytest.param("¦", "python", id="an empty document"),
    pytest.param("a = 1\n¦\nb = 2", "python", id="a blank line at the margin"),
    pytest.param("def f():¦", "python", id="after a colon"),
    pytest.param("def f():  ¦  ", "python", id="after a colon and blanks"),
    pytest.param("function f() {¦}", "javascript", id="in a pair of braces"),
    pytest.param("f(¦);", "javascript", id="in a pair of parentheses"),
    pytest.param("items = [¦]", "python", id="in a pair of brackets"),
    pytest.param("x => ¦", "javascript", id="after an arrow"),
    pytest.param("x ->¦", "java", id="after a thin arrow"),
    pytest.param("items.each do¦", "ruby", id="after do"),
    pytest.param("if [ -f x ]; then¦", "shellscript", id="after then"),
    pytest.param("#define MAX(¦", "c", id="a hash that is no comment"),
    pytest.param("#main {¦", "css", id="an id selector"),
    pytest.param("--count, (¦", "javascript", id="a decrement that is no comment"),
    pytest.param('x = {"a": [¦', "python", id="after a closed string"),
]

ONE = [
    pytest.param("a = ¦", "python", id="inside a line"),
    pytest.param("a = f()¦", "python", id="at the end of a statement"),
    pytest.param("redo¦", "ruby", id="a word that ends in do"),
    pytest.param("# see:¦", "python", id="in a comment"),
    pytest.param("a = 1  # see (¦", "python", id="in a comment after code"),
    pytest.param("// see:¦", "javascript", id="in a slash comment"),
    pytest.param("-- see:¦", "lua", id="in a dash comment"),
    pytest.param('print("see:¦', "python", id="in a string"),
    pytest.param("print('see (¦')", "python", id="in a string of single quotes"),
    pytest.param("f(¦ + a)", "python", id="before text"),
]


@pytest.mark.parametrize(("marked", "language"), SEVERAL)
def test_several_lines_are_asked_for(marked: str, language: str) -> None:
    place = prompt.place(ask(marked, language=language))
    assert place.multiline
    request = prompt.request(place, Settings(max_tokens=500, stop=("END",)))
    assert (list(request.stop), request.max_tokens) == (["END"], 500)


@pytest.mark.parametrize(("marked", "language"), ONE)
def test_one_line_is_asked_for(marked: str, language: str) -> None:
    place = prompt.place(ask(marked, language=language))
    assert not place.multiline
    request = prompt.request(place, Settings(max_tokens=500, stop=("END",)))
    assert (list(request.stop), request.max_tokens) == (["\n", "END"], SINGLE_LINE_TOKENS)


def test_the_room_for_one_line_is_never_more_than_the_setting() -> None:
    assert prompt.request(prompt.place(ask("a = ¦")), Settings(max_tokens=10)).max_tokens == 10


@pytest.mark.parametrize(
    ("marked", "several"),
    [
        pytest.param("a = ¦", True, id="inside a line"),
        pytest.param("a = '¦", True, id="in a string"),
        pytest.param("# a¦", False, id="in a comment"),
        pytest.param("f(¦ + a)", False, id="before text"),
    ],
)
def test_a_gesture_asks_for_several_lines_where_they_can_stand(marked: str, several: bool) -> None:
    assert prompt.place(ask(marked, trigger=Trigger.INVOKED)).multiline is several


@pytest.mark.parametrize("trigger", list(Trigger))
@pytest.mark.parametrize("marked", ["a = ¦", "def f():\n    ¦", "# a¦", "f(¦ + a)"])
def test_the_setting_overrules_the_guess(marked: str, trigger: Trigger) -> None:
    assert prompt.place(ask(marked, trigger=trigger, multiline="always")).multiline
    assert not prompt.place(ask(marked, trigger=trigger, multiline="never")).multiline


def test_the_request_holds_the_model_and_its_settings() -> None:
    settings = Settings(fim_model="codestral-2508", temperature=0.5, top_p=0.9)
    request = prompt.request(prompt.place(ask("a = ¦")), settings)
    assert (request.model, request.temperature, request.top_p) == ("codestral-2508", 0.5, 0.9)
    assert hash(request) is not None
