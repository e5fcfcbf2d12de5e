"""The shape of an answer does not depend on how its stream was cut, and once complete it stays as it is."""

from __future__ import annotations

import pytest
from completion_helpers import CURSOR
from hypothesis import example, given
from hypothesis import strategies as st

from codestral_ls.completion.shape import MAX_CHARS, Shape
from codestral_ls.completion.types import Place

DOCUMENTS = [
    "def f():\n    ¦\n\n\ndef g():\n    pass\n",
    "print(¦)\n",
    "function f() {¦\n}\n",
    "fetch(url, ¦);\n",
    "x = 1\n¦\nb = 2\nc = 3\n",
    'a = """¦',
    "x = ¦",
    "x = 1\n\n¦",
    "¦",
]

PIECES = st.sampled_from(
    [
        *("a = 1", "b = 2", "c = 3", "return x", "def g():", "if a:", "else:", "pass", "f(", "{", "}", ")", ");", "]"),
        *("\n", "\n", "\n", "\r\n", "\r\n", "\r", "\n\n", "    ", "    ", "\t", " ", "  "),
        *('"', "'", '"""', "#", "//", "/*", "*/", "`", "${", "\\"),
        *("```", "```python", "+++++ ", "+++++ b.py", "</s>", "[SUFFIX]", "<|endoftext|>"),
        *("😀", "é", "\u2028", "\x0c", "x" * (MAX_CHARS // 2)),
    ]
)

answers = st.lists(PIECES, max_size=30).map("".join)


@st.composite
def cut_answers(draw: st.DrawFn) -> tuple[str, list[str]]:
    answer = draw(answers)
    cuts = sorted(draw(st.lists(st.integers(0, len(answer)), max_size=12)))
    return answer, [answer[start:end] for start, end in zip([0, *cuts], [*cuts, len(answer)], strict=True)]


places = st.builds(
    lambda marked, language, eol, multiline: Place(
        *(part.replace("\n", eol) for part in marked.split(CURSOR)), language, eol, multiline
    ),
    st.sampled_from(DOCUMENTS),
    st.sampled_from(["python", "javascript", "markdown", "rust", ""]),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
)


@given(places, cut_answers(), st.booleans())
@example(Place("x = ", "", "python", "\n", True), ("a\r\nb", ["a\r", "\nb"]), False)
@example(Place("x = ", "", "python", "\n", True), ("a\r", ["a\r", ""]), False)
def test_any_cut_gives_what_the_whole_gives(place: Place, cut: tuple[str, list[str]], broken_off: bool) -> None:
    answer, pieces = cut
    whole, piecewise, by_character = Shape(place), Shape(place), Shape(place)
    whole.feed(answer)
    for piece in pieces:
        piecewise.feed(piece)
    for character in answer:
        by_character.feed(character)
    assert _state(piecewise) == _state(by_character) == _state(whole)
    for shape in (whole, piecewise, by_character):
        shape.cut_off() if broken_off else shape.finish()
    assert _state(piecewise) == _state(by_character) == _state(whole)
    assert whole.complete


@given(places, answers)
def test_once_complete_a_shape_stays_as_it_is(place: Place, answer: str) -> None:
    shape = Shape(place)
    complete: tuple[object, ...] | None = None
    for character in answer:
        shape.feed(character)
        if complete is None and shape.complete:
            complete = _state(shape)
        assert complete is None or _state(shape) == complete
    shape.finish()
    assert complete is None or _state(shape) == complete


@given(places, answers)
def test_what_is_shown_is_bounded_and_never_blank(place: Place, answer: str) -> None:
    shape = Shape(place)
    shape.feed(answer)
    shape.finish()
    assert len(shape.text.replace("\r\n", "\n")) <= MAX_CHARS
    assert shape.text == "" or shape.text.strip()


@given(places, answers)
def test_a_document_of_lf_lines_gets_no_cr_and_one_of_crlf_lines_no_lone_lf(place: Place, answer: str) -> None:
    shape = Shape(place)
    shape.feed(answer)
    shape.finish()
    if place.eol == "\n":
        assert "\r" not in shape.text
    else:
        rest = shape.text.replace("\r\n", "")
        assert "\r" not in rest
        assert "\n" not in rest


@pytest.mark.parametrize("pieces", [["a = 1\r", "\n    b"], ["a = 1", "\r\n", "    b"], ["a = 1\r\n    b"]])
def test_crlf_is_one_line_end_wherever_it_is_cut(pieces: list[str]) -> None:
    shape = Shape(Place("def f():\n    ", "", "python", "\n", True))
    for piece in pieces:
        shape.feed(piece)
    assert shape.raw == "a = 1\n    b"


def _state(shape: Shape) -> tuple[object, ...]:
    return shape.text, shape.raw, shape.complete, shape.reason
