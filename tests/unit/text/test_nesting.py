"""What is open after a text, by language: brackets, strings, comments, and what only looks like one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codestral_ls.text.nesting import Nesting

D, S, B = '"', "'", "`"
LINE = "\n"

OPEN = [
    # Brackets
    ("python", "f(a, [b, {", [")", "]", "}"]),
    ("python", "f(a)[b]{c}", []),
    ("python", "f(\n  a\n", [")"]),
    # Strings
    ("python", 'x = "a(', [D]),
    ("python", 'x = "a(" + (', [")"]),
    ("python", "x = 'a(", [S]),
    ("python", "x = 'it\\'s (' + (", [")"]),
    ("python", 'x = "a\\\\" + (', [")"]),
    ("python", 'x = "\'" + (', [")"]),
    ("python", 'x = "a\n(', [")"]),
    ("python", 'x = "a\r(', [")"]),
    ("python", 'x = "a\r\n(', [")"]),
    ("python", 'x = "a\\\n(', [D]),
    ("python", 'x = "a\\\r\n(', [D]),
    ("python", "f'a{b}('", []),
    ("python", "rb'(' + f'", [S]),
    ("python", "d = {'a': 'b", ["}", S]),
    ("sql", "select N'(", [S]),
    ("sql", "select 'it''s (", [S]),
    ("sql", "select 'it''s' + (", [")"]),
    ("shellscript", "echo 'a\\' (", [")"]),
    ("cpp", "n = 1'000'000 + (", [")"]),
    ("c", "c = '(' + (", [")"]),
    ("c", "c = '\\'' + (", [")"]),
    ("javascript", "x = '\"' + (", [")"]),
    # Strings of several lines
    ("python", '"""a\n(\n', ['"""']),
    ("python", "'''a \"\"\" (", ["'''"]),
    ("python", '"""a""" + (', [")"]),
    ("python", '"""a "quoted" (', ['"""']),
    ("python", 'x = "" + (', [")"]),
    ("kotlin", 'val x = """\n(', ['"""']),
    ("javascript", 'x = """', [D]),
    ("javascript", "x = `a\n(", [B]),
    ("javascript", "x = `a${f(", [B, "}", ")"]),
    ("javascript", "x = `a${f(b)}(", [B]),
    ("javascript", "x = `a${`b${c}`}` + (", [")"]),
    ("javascript", "x = `\\`(", [B]),
    ("go", "x := `a\\` + (", [")"]),
    ("shellscript", "x=`ls (", [")"]),
    # Lifetimes, primes, quoting signs, words
    ("rust", "fn f<'a>(x: &'a str", [")"]),
    ("rust", "let c = '\"'; f(", [")"]),
    ("rust", "let c = '('; f(", [")"]),
    ("rust", "let c = b'{'; f(", [")"]),
    ("rust", "let c = '\\''; f(", [")"]),
    ("rust", "let c = '\\u{7b}'; f(", [")"]),
    ("rust", "let s: &'static str = \"(", [D]),
    ("haskell", "f' x = g' (", [")"]),
    ("haskell", "f' '(' (", [")"]),
    ("haskell", "map (\\(a, b) -> [", [")", "]"]),
    ("clojure", "(f '(a b) \\( [", [")", "]"]),
    ("markdown", "don't (", [")"]),
    ("markdown", 'a 5" disk (', [")"]),
    ("yaml", "text: don't [", ["]"]),
    ("javascriptreact", "<p>don't</p> {", ["}"]),
    # Comments
    ("python", "# a (", [LINE]),
    ("python", "# a (\n[", ["]"]),
    ("python", "# a (\r[", ["]"]),
    ("python", "# a (\r\n[", ["]"]),
    ("python", "# it's (\n[", ["]"]),
    ("python", "# C:\\\n[", ["]"]),
    ("python", "a // b + (", [")"]),
    ("python", 'x = "#" + (', [")"]),
    ("c", "// a (", [LINE]),
    ("c", "#define F(", [")"]),
    ("c", "/* a (\n", ["*/"]),
    ("c", "/* a ( */ [", ["]"]),
    ("c", "/* C:\\*/ [", ["]"]),
    ("c", "/* don't */ [", ["]"]),
    ("c", 'x = "/*" + (', [")"]),
    ("c", "// /* \n(", [")"]),
    ("shellscript", "echo $# ${#a[@]} (", [")"]),
    ("shellscript", "ls # a (", [LINE]),
    ("yaml", "url: http://x/#a [", ["]"]),
    ("yaml", "a: 1 # b [", [LINE]),
    ("lua", "-- a (", [LINE]),
    ("lua", "--> a (", [LINE]),
    ("sql", "-- don't (\n(", [")"]),
    ("c", "a-->b(", [")"]),
    ("lisp", "; a (\n(", [")"]),
    ("latex", "50\\% {", ["}"]),
    ("latex", "% a {", [LINE]),
    ("css", "#main { /* (", ["}", "*/"]),
    ("css", "a: url(//x", [")"]),
    ("html", "<!-- a (", ["-->"]),
    ("html", "<!-- a ( --> (", [")"]),
    ("javascript", "a <!--b; (", [")"]),
    ("php", "# a (\n// b (\n/* c */ (", [")"]),
    ("html", "https://x (", [")"]),
    ("json", '{"a": [', ["}", "]"]),
    ("", "f(a, // b (", [")", LINE]),
    ("brainfuck", "f(", [")"]),
]


@pytest.mark.parametrize(("language", "text", "closers"), OPEN)
def test_what_is_open(language: str, text: str, closers: list[str]) -> None:
    nesting = Nesting(language)
    nesting.feed(text)
    assert list(nesting.state.closers) == closers


@pytest.mark.parametrize(
    ("text", "closers", "under"),
    [
        (")", [], 1),
        ("a) + b]", [], 2),
        ("(]", [")"], 1),
        ("())", [], 1),
        ('")"', [], 0),
        ("# )", [LINE], 0),
    ],
)
def test_closers_of_nothing_are_counted(text: str, closers: list[str], under: int) -> None:
    nesting = Nesting("python")
    nesting.feed(text)
    assert (list(nesting.state.closers), nesting.state.under) == (closers, under)


@pytest.mark.parametrize(
    ("language", "text", "in_text", "in_line"),
    [
        ("python", "f(", False, False),
        ("python", '"a', True, True),
        ("python", "'a", True, True),
        ("python", "# a", True, True),
        ("python", '"""a', True, False),
        ("javascript", "`a", True, False),
        ("javascript", "`a${b", False, False),
        ("c", "/* a", True, False),
        ("html", "<!-- a", True, False),
        ("python", "", False, False),
    ],
)
def test_whether_a_place_is_in_a_string_or_comment(language: str, text: str, in_text: bool, in_line: bool) -> None:
    nesting = Nesting(language)
    nesting.feed(text)
    assert (nesting.state.in_text, nesting.state.in_line_text) == (in_text, in_line)


def test_a_copy_goes_on_by_itself() -> None:
    nesting = Nesting("python")
    nesting.feed("f(")
    copy = nesting.copy()
    copy.feed("[")
    nesting.feed(")")
    assert (nesting.state.closers, copy.state.closers) == ((), (")", "]"))


LANGUAGES = sorted({language for language, _, _ in OPEN})
PIECES = st.lists(
    st.sampled_from([*"\"'`()[]{}#;%-/*a\\ \n", "\r\n", "${", '"""', "'''", "//", "/*", "*/", "<!--", "-->", "😀"]),
    max_size=30,
).map("".join)


@given(st.sampled_from(LANGUAGES), PIECES)
def test_there_is_a_state_before_each_character_and_one_after_all(language: str, text: str) -> None:
    states = Nesting(language).states(text)
    whole = Nesting(language)
    whole.feed(text)
    assert len(states) == len(text) + 1
    assert states[0] == Nesting(language).state
    assert states[-1] == whole.state


@given(st.sampled_from(LANGUAGES), st.lists(PIECES.map(lambda text: text.replace("\\", "")), max_size=4))
def test_lines_may_be_fed_one_by_one(language: str, lines: list[str]) -> None:
    piecewise, whole = Nesting(language), Nesting(language)
    for line in lines:
        piecewise.feed(line + "\n")
    whole.feed("".join(line + "\n" for line in lines))
    assert piecewise.state == whole.state
