"""What is shown of an answer, by example: for each rule the text that it stops, and text that it must leave alone.

Each case runs with LF and CRLF, with four spaces and with tabs, and with astral characters before the cursor.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from codestral_ls.completion.shape import MAX_CHARS, MAX_LINES, Shape
from codestral_ls.completion.types import Place

AS_IT_IS = "(the answer as it is)"


@dataclass(frozen=True)
class Case:
    """`shown` is None for nothing."""

    name: str
    marked: str
    answer: str
    shown: str | None = AS_IT_IS
    language: str = "python"
    multiline: bool = True


def py(name: str, marked: str, answer: str, shown: str | None = AS_IT_IS, **rest: Any) -> Case:
    return Case(name, marked, answer, shown, **rest)


def js(name: str, marked: str, answer: str, shown: str | None = AS_IT_IS, **rest: Any) -> Case:
    return Case(name, marked, answer, shown, "javascript", **rest)


REST_OF_LINE = [
    py("own closer stays", "print(¦)\n", "len(x)"),
    py("doubled closer goes", "print(¦)\n", "len(x))", "len(x)"),
    py("nothing but what is there", "print(¦)\n", ")", None),
    py("needed opener stays", "items = [¦]\n", "[1, 2], [3, 4]]", "[1, 2], [3, 4]"),
    py("balanced lists stay", "items = [¦]\n", "[1, 2], [3, 4]"),
    py("quote that is there goes", 'name = "¦"\n', 'world"', "world"),
    py("quotes of its own stay", "f(¦)\n", '"a", "b"'),
    py("bracket in a string closes nothing", "s = f(¦\n", '")")'),
    py("bracket in a string before a closer", "s = f(¦)\n", '")"'),
    py("end of a call", "x = foo(¦)\n", "bar(1), baz(2)"),
    py("two blanks stay", "x = f(a,  ¦)\n", "b,  c"),
    js("rest of the line goes", "console.log(¦);\n", '"a");', '"a"'),
    js("rest of the line with its last element", "const a = [¦, 4];\n", "1, 2, 3, 4];", "1, 2, 3"),
    js("a longer line is no repeat of its end", "const a = [¦];\n", "f(b[0])"),
    js("a word of the rest inside the answer", "f(¦name)\n", "my_name, "),
    js("three letters of the rest are no repeat", "f(¦foo + 1)\n", "a + foo"),
    js("a word of the rest is one", "f(¦name + 1)\n", "a + name", "a + "),
    js("the rest again after several lines", "fetch(url, ¦);\n", "{\n    a: 1,\n});", "{\n    a: 1,\n}"),
    js("an object literal", "fetch(url, ¦);\n", '{\n    method: "POST",\n    headers: { "a": "1" },\n    body: b,\n}'),
    js("a path is no stop", "const p = ¦\n", 'open("/usr/src/app/x")'),
    js("an import is no stop", "import { f } from ¦\n", '"../src/utils/foo";'),
    js("a line end before the closer is meant", "f(¦)\n", "\n    a,\n    b,\n"),
    js("a line end after one line is not", "f(¦)\n", "a\n", "a"),
    js("nor after several blank ones", "f(¦);\n", "a\n\n\n", "a"),
    js("a space before the rest is meant", "f(¦b)\n", "a, "),
]

BELOW = [
    js("the closer below", "function f() {\n    ¦\n}\n", "return 1;\n}", "return 1;"),
    js("a closer of its own", "function f() {\n    if (a) {\n        ¦\n}\n", "return 1;\n    }\n    return 2;"),
    py("the lines below", "x = 1\n¦\nb = 2\nc = 3\n", "a = 1\nb = 2\nc = 3", "a = 1"),
    py("the lines below with blank ones", "x = 1\n¦\nb = 2\nc = 3\n", "a = 1\n\nb = 2\n\nc = 3\n", "a = 1"),
    py("the line below and then other text", "x = 1\n¦\nb = 2\n", "a = 1\nb = 2\nb += a"),
    py("a line like the one below", "¦\nport2 = env['PORT_B']\n", "port1 = env['PORT_A']"),
    py("the line below at another depth", "if a:\n    ¦\nf(b)\n", "f(a)\n    f(b)"),
    py("the line below, in one line", "x = 1\n¦\nb = 2\n", "b = 2", None, multiline=False),
    py("the line below at mid-line", "x = 1\nb ¦\nb = 2\n", "= 2", None, multiline=False),
    py(
        "the next function",
        "def f():\n    ¦\n\n\ndef g():\n    pass\n",
        "return 1\n\n\ndef g():\n    pass\n",
        "return 1",
    ),
    Case("a list item", "# Todo\n\n- one\n¦\n- three\n", "- two", AS_IT_IS, "markdown"),
]

ABOVE = [
    py("a line like the one above", "port1 = env['PORT_A']\n¦\n", "port2 = env['PORT_B']"),
    py("the same call again", "f()\n¦\n", "f()"),
    py("a loop over the line above", "x = 1\n¦\n", "x = 1\n" * 8, None),
    py("a loop after one good line", "items = []\n¦\n", "items.append(1)\n" * 7, "items.append(1)"),
    py("a loop of two lines", "¦\n", "a = 1\nb = 2\n" * 5, "a = 1\nb = 2"),
    py("a loop of three lines", "¦\n", "a = 1\nb = 2\nc = 3\n" * 5, "a = 1\nb = 2\nc = 3"),
    py("a loop in the middle", "¦\n", "a = 0\n" + "b = 1\n" * 9, "a = 0\nb = 1"),
    py("four equal lines", "¦\n", "f()\n" * 3 + "f()"),
    py("lines that count up", "¦\n", "\n".join(f"a{n} = {n}" for n in range(20))),
    py("three equal pairs", "¦\n", "\n".join(["f(", ")"] * 3)),
]

BLOCK = [
    py("a blank line inside", "def f():\n    ¦\n\n\ndef g():\n    pass\n", "a = 1\n\n    b = a\n    return b"),
    py("the next definition", "def f():\n    ¦\n", "return 1\n\n\ndef h():\n    return 2", "return 1"),
    py(
        "a method's neighbour",
        "class A:\n    def f(self):\n        ¦\n",
        "return 1\n\n    def g(self):\n        pass",
        "return 1",
    ),
    py("else", "def f(a):\n    if a:\n        ¦\n", "return 1\n    else:\n        return 2"),
    py("else above more text", "if a:\n    ¦\nd()\n", "b()\nelse:\n    c()"),
    py("else that is there below", "if a:\n    ¦\nelse:\n    d()\n", "b()\nelse:\n    c()", "b()"),
    py("except", "try:\n    ¦\n", "f()\nexcept OSError:\n    pass"),
    py("a body after a colon", "def f():¦\n", "\n    a = 1\n    return a"),
    py("what follows a body after a colon", "def f():¦\n", "\n    a = 1\n\nb = 2", "\n    a = 1"),
    py("what follows a body at once", "def f():¦\n", "\n    a = 1\nb = 2", "\n    a = 1"),
    py("a body on a line at the margin", "def f():\n¦\n", "    a = 1\nb = 2", "    a = 1"),
    py("statements at the margin", "a = 1\n¦\n", "b = 2\nc = 3"),
    py("a blank line ends statements at the margin", "a = 1\n¦\n", "b = 2\n\nc = 3", "b = 2"),
    py("a text of several lines", 'a = """¦', 'one\n\ntwo\n"""\nb = 1'),
    py("a dictionary", "a = ¦\n", '{\n    "b": 1,\n\n    "c": 2,\n}'),
    js("a body with braces", "function f() {¦\n", "\n    return 1;\n}"),
    js("what follows the outermost block", "if (a) {\n    ¦\n", "x();\n}\nz();", "x();\n}"),
    js(
        "another branch of the outermost block",
        "if (a) {\n    ¦\n",
        "x();\n} else {\n    y();\n}\nz();",
        "x();\n} else {\n    y();\n}",
    ),
    js("two functions of its own", "¦\n", "function a() {\n    x();\n}\nfunction b() {\n    y();\n}"),
    js(
        "what follows a body with braces",
        "function f() {¦\n",
        "\n    return 1;\n}\n\nfunction g() {\n}",
        "\n    return 1;\n}",
    ),
    js("a chain", "const a = ¦\n", "b\n    .map(c)\n    .filter(d);"),
    js("else on the closer's line", "if (a) {\n    ¦\n", "b();\n} else {\n    c();\n}"),
    js("an odd indentation", "/**\n¦\nfunction f() {}\n", " * Adds.\n * @returns {number}\n */"),
    Case("end", "def f\n    ¦\n", "a = 1\nend\n\ndef g\nend", "a = 1\nend", "ruby"),
]

NOISE = [
    py("a fence round all of it", "def f():\n    ¦\n", "```python\nreturn 1\n```", "return 1"),
    py("a fence and talk after it", "def f():\n    ¦\n", "```\nreturn 1\n```\nThis returns 1.", "return 1"),
    py(
        "a fence in a docstring",
        'def f():\n    """¦\n',
        'Do it.\n\n    ```python\n    f()\n    ```\n    """\n    return 1',
    ),
    py("a docstring that begins with a fence", 'def f():\n    """\n    ¦\n', "```python\n    f()\n    ```"),
    Case("a fence in Markdown", "# A\n\n¦\n", "```python\nf()\n```", AS_IT_IS, "markdown"),
    py("another file", "def f():\n    ¦\n", "return 1\n+++++ other.py\ndef g():", "return 1"),
    py("sums are no other file", "def f():\n    ¦\n", "a = 1 +++++ 2"),
    py("a control token", "def f():\n    ¦\n", "return 1[SUFFIX]\ndef g():", "return 1"),
    py("a control token on its own line", "def f():\n    ¦\n", "return 1\n[PREFIX]", "return 1"),
    py("the end of the stream, spelt out", "def f():\n    ¦\n", "return 1</s>", "return 1"),
    py("a control token before the rest of a line", "f(¦)\n", "a</s>", "a"),
    py("the end of a text, spelt out", "def f():\n    ¦\n", "return 1<|endoftext|>", "return 1"),
    py("a constant that is called like one", "PREFIX = 1\na = ¦\n", "b[PREFIX]"),
    py("a list of such constants", "from x import SUFFIX\na = ¦\n", "[SUFFIX]"),
    Case("text struck out", "<p>¦</p>\n", "<s>old</s> new", AS_IT_IS, "html"),
    Case("an element that was opened above", "<p><s>old¦\n", "</s> new", AS_IT_IS, "html"),
    py("a token that the file deals with", "END = '<|endoftext|>'\na = ¦\n", "'<|endoftext|>'"),
    py("one doubled space", "x = ¦\n", " compute()", "compute()"),
    py("two spaces are meant", "x = ¦\n", "  compute()"),
    py("a space after a word", "return¦\n", " x"),
    py("a space on a blank line", "    ¦\n", " x"),
    py("two spaces before a comment", "x = 1 ¦\n", " # one"),
    py("one doubled line end", "x = 1\n\n¦", "\ny = 2", "y = 2"),
    py("a line end before more text", "x = 1\n\n¦\nz = 3\n", "\ny = 2"),
    py("blank space at the end", "x = ¦\n", "1  \n\n  \n", "1"),
    py("nothing but blank space", "x = ¦\n", "  \n\t\n ", None),
    py("nothing", "x = ¦\n", "", None),
    py("one character", "x = ¦\n", "1"),
]

ONE_LINE = [
    py("the first line of several", "x = ¦\n", "1\ny = 2", "1", multiline=False),
    py("a line after line ends", "x = 1\n¦", "\ny = 2\nz = 3", "\ny = 2", multiline=False),
    py("a line without an end", "x = ¦\n", "f(1)", multiline=False),
    py("its closer", "f(¦)\n", "a)", "a", multiline=False),
]

GROUPS = {
    "rest": REST_OF_LINE,
    "below": BELOW,
    "above": ABOVE,
    "block": BLOCK,
    "noise": NOISE,
    "one line": ONE_LINE,
}
CASES = [pytest.param(case, id=f"{group}: {case.name}") for group, cases in GROUPS.items() for case in cases]


def show(case: Case, *, eol: str = "\n", tabs: bool = False, above: str = "") -> tuple[str | None, str | None]:
    """What is shown and what is to be, with the case's document and answer in another form."""

    def form(text: str, end: str) -> str:
        text = text.replace("    ", "\t") if tabs else text
        return text.replace("\n", end)

    before, after = case.marked.split("¦")
    place = Place(above + form(before, eol), form(after, eol), case.language, eol, case.multiline)
    shape = Shape(place)
    shape.feed(form(case.answer, "\n"))
    shape.finish()
    wanted = case.answer if case.shown is AS_IT_IS else case.shown
    return shape.text or None, None if wanted is None else form(wanted, eol)


@pytest.mark.parametrize("case", CASES)
def test_what_is_shown(case: Case) -> None:
    shown, wanted = show(case)
    assert shown == wanted


@pytest.mark.parametrize("case", CASES)
def test_what_is_shown_in_a_document_of_crlf_lines(case: Case) -> None:
    shown, wanted = show(case, eol="\r\n")
    assert shown == wanted


@pytest.mark.parametrize("case", CASES)
def test_what_is_shown_with_tabs(case: Case) -> None:
    shown, wanted = show(case, tabs=True)
    assert shown == wanted


@pytest.mark.parametrize("case", CASES)
def test_what_is_shown_below_astral_characters(case: Case) -> None:
    shown, wanted = show(case, above='SIGNS = "😀𝒳"\n' if case.language == "python" else "😀𝒳\n")
    assert shown == wanted


def test_an_answer_in_crlf_is_shown_in_the_line_ends_of_the_document() -> None:
    shape = Shape(Place("def f():\n    ", "\n", "python", "\n", True))
    shape.feed("a = 1\r\n    return a")
    shape.finish()
    assert shape.text == "a = 1\n    return a"


def test_an_answer_of_many_lines_ends_at_a_bound() -> None:
    shape = Shape(Place("", "", "python", "\n", True))
    shape.feed("".join(f"a{n} = {n}\n" for n in range(MAX_LINES + 10)))
    assert shape.complete
    assert shape.text.count("\n") == MAX_LINES - 1


@pytest.mark.parametrize("piece", [1, 100, MAX_CHARS * 2])
def test_a_line_too_long_to_draw_is_not_shown_however_it_came(piece: int) -> None:
    answer = "x" * (MAX_CHARS + 1) + "\nb = 2\n"
    for multiline in (False, True):
        shape = Shape(Place("a = ", "", "python", "\n", multiline))
        for at in range(0, len(answer), piece):
            shape.feed(answer[at : at + piece])
        shape.finish()
        assert shape.complete
        assert shape.text == ""


def test_a_line_just_short_enough_to_draw_is_shown() -> None:
    shape = Shape(Place("a = ", "", "python", "\n", False))
    shape.feed("x" * MAX_CHARS)
    shape.finish()
    assert shape.text == "x" * MAX_CHARS


def test_before_the_end_only_whole_lines_are_shown() -> None:
    shape = Shape(Place("def f():\n    ", "\n", "python", "\n", True))
    shape.feed("a = 1\n    ret")
    assert shape.text == "a = 1"
    assert shape.raw == "a = 1\n    ret"
    assert not shape.complete


def test_an_answer_cut_off_keeps_its_whole_lines_or_its_only_one() -> None:
    several, one = (Shape(Place("def f():\n    ", "\n", "python", "\n", True)) for _ in range(2))
    several.feed("a = 1\n    ret")
    several.cut_off()
    one.feed("ret")
    one.cut_off()
    assert (several.text, one.text) == ("a = 1", "ret")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("return 1\n\nb = 2\n", "the block ends"),
        ("a = 1\n" * 9, "the answer repeats itself"),
        ("return 1</s>\n", "the model began another text"),
        ("x" * 6000, "the answer is too long"),
    ],
)
def test_why_a_shape_ended_is_told(answer: str, reason: str) -> None:
    shape = Shape(Place("def f():\n    ", "\n", "python", "\n", True))
    shape.feed(answer.replace("\na = 1", "\n    a = 1"))
    assert shape.reason == reason
