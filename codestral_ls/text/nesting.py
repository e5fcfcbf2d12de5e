"""Which brackets, strings and comments are open at a place, from the text before it. Knows common languages by rule."""

from __future__ import annotations

import re
from copy import copy
from dataclasses import dataclass

_LINE_TEXT_CLOSERS = frozenset({'"', "'", "\n"})
_TEXT_CLOSERS = _LINE_TEXT_CLOSERS | {"`", '"""', "'''", "*/", "-->"}

OPENS_BLOCK = re.compile(r"(?:[:{(\[]|=>|->|\b(?:do|then|else|begin|try))\s*$")
"""The end of a line after which a block follows, in common languages."""


@dataclass(frozen=True)
class State:
    """What is open: what would close each opened thing, the innermost last; `under` counts closers of nothing.

    A line comment is closed by `\\n`, whatever the document's line ends are.
    """

    closers: tuple[str, ...]
    under: int

    @property
    def in_text(self) -> bool:
        """Whether the place is inside a string or a comment, where brackets and indentation mean nothing."""
        return bool(self.closers) and self.closers[-1] in _TEXT_CLOSERS

    @property
    def in_line_comment(self) -> bool:
        """Whether the place is inside a comment that ends with its line."""
        return bool(self.closers) and self.closers[-1] == "\n"

    @property
    def in_line_text(self) -> bool:
        """Whether the place is inside a string or a comment that ends with its line at the latest."""
        return bool(self.closers) and self.closers[-1] in _LINE_TEXT_CLOSERS


class Nesting:
    """Feed it text in order; `state` is what is open after it. Costs the text that is fed.

    A quote that is not closed on its line is taken for a typing error, also where strings may span lines: an error
    is then over with its line.
    """

    def __init__(self, language: str) -> None:
        self._stack: list[str] = []
        self._under = 0
        self._language = language
        self._comments = _LINE_COMMENTS.get(language, _SLASHES)
        self._block_comments = self._comments is _SLASHES or language in _BLOCK_COMMENTS
        self._token_pattern = _TOKEN_OR_CHARACTER if language in _CHARACTERS else _TOKEN

    def copy(self) -> Nesting:
        """Another that goes on from here by itself."""
        other = copy(self)
        other._stack = list(self._stack)
        return other

    @property
    def state(self) -> State:
        return State(tuple(self._stack), self._under)

    def feed(self, text: str) -> None:
        """Goes on over `text`. A token must not be cut: feed whole lines, or everything at once."""
        for match in self._token_pattern.finditer(text):
            self._token(match[0], text, match.start())

    def states(self, text: str) -> list[State]:
        """Like `feed`, and gives the state before each character of `text` and, last, after it."""
        states: list[State] = []
        for match in self._token_pattern.finditer(text):
            states += [self.state] * (match.start() - len(states))
            before = self.state
            self._token(match[0], text, match.start())
            states += [before] * len(match[0])
        states += [self.state] * (len(text) + 1 - len(states))
        return states

    def _token(self, token: str, text: str, at: int) -> None:
        top = self._stack[-1] if self._stack else ""
        if top in _TEXT_CLOSERS:
            self._token_in_text(token, top)
            return
        if token[0] == "\\" and self._language in _BACKSLASH_IS_LAMBDA:
            token = token[1:]
        if token in _CLOSER:
            self._stack.append(_CLOSER[token])
        elif token in (")", "]", "}"):
            if top == token:
                self._stack.pop()
            else:
                self._under += 1
        elif self._opens_comment(token, text, at):
            self._stack.append("\n")
        elif token == "/*" and self._block_comments:
            self._stack.append("*/")
        elif token == "<!--" and self._language in _MARKUP:
            self._stack.append("-->")
        elif self._opens_string(token, text, at):
            self._stack.append(token if len(token) == 1 or self._language in _TRIPLE_QUOTES else token[0])

    def _token_in_text(self, token: str, top: str) -> None:
        if token[-1] in "\r\n":
            # Behind a backslash, the line end continues a string; a comment ends all the same.
            if top == "\n" or (top in _LINE_TEXT_CLOSERS and token[0] != "\\"):
                self._stack.pop()
        elif token == top:
            self._stack.pop()
        elif token[0] == "\\":
            if token[1] == top and (self._language, top) in _RAW_STRINGS:
                self._stack.pop()
        elif token == "${" and top == "`":
            self._stack.append("}")
        elif len(token) == 3 and top in token and top in ('"', "'"):
            # Three quotes close a string, and open and close an empty one; or it is closed in 'x'.
            self._stack.pop()

    def _opens_comment(self, token: str, text: str, at: int) -> bool:
        if token == "-->":
            token = "--"
        if token not in self._comments:
            return False
        return token != "#" or self._language not in _WORDS_HOLD_HASHES or text[at - 1 : at] in _BEFORE_COMMENT

    def _opens_string(self, token: str, text: str, at: int) -> bool:
        if token in ('"', '"""'):
            return self._language not in _NO_QUOTES
        if token == "`":
            return self._language in _BACKTICK_STRINGS
        if token not in ("'", "'''") or self._language in _NO_APOSTROPHES:
            return False
        # After a word it stands in one (don't) or in a number (1'000), unless the word says what string it is.
        word = _LAST_WORD.search(text, max(0, at - 3), at)
        return word is None or word[0] in _STRING_PREFIXES


_CLOSER = {"(": ")", "[": "]", "{": "}"}

_SIGNS = (
    r"""\\(?:\r\n|[\\"'`()\[\]{}$#%;\r\n])|\"\"\"|'''|["'`]|\$\{|[()\[\]{}]|//|/\*|\*/|<!--|-->|--|[#;%]|\r\n|[\r\n]"""
)
_TOKEN = re.compile(_SIGNS)
_TOKEN_OR_CHARACTER = re.compile(r"(?:(?<![\w'])|(?<=\bb))'(?:\\(?:u\{\w+\}|x\w\w|.)|[^'\\\r\n])'|" + _SIGNS)
_LAST_WORD = re.compile(r"\w+\Z")
_STRING_PREFIXES = frozenset(
    {"r", "b", "u", "f", "t", "rb", "br", "fr", "rf", "R", "B", "U", "F", "Rb", "Br", "L", "N", "E", "u8"}
)

_LINE_COMMENTS: dict[str, frozenset[str]] = {
    **dict.fromkeys(
        ("python", "ruby", "shellscript", "bash", "sh", "yaml", "toml", "r", "julia", "perl", "dockerfile", "make",
         "makefile", "elixir", "powershell", "cmake", "nix"),
        frozenset("#"),
    ),
    "php": frozenset({"#", "//"}),
    **dict.fromkeys(("lua", "sql", "haskell", "elm", "ada", "vhdl"), frozenset({"--"})),
    **dict.fromkeys(("lisp", "clojure", "scheme", "racket", "commonlisp", "emacs-lisp", "ini", "asm"), frozenset(";")),
    **dict.fromkeys(("latex", "tex", "erlang", "matlab"), frozenset("%")),
    **dict.fromkeys(
        ("html", "xml", "markdown", "plaintext", "json", "css", "csv", "vue", "svelte", "text"), frozenset()
    ),
}  # fmt: skip
_SLASHES = frozenset({"//"})
_BLOCK_COMMENTS = frozenset({"php", "css", "sql", "vue", "svelte"})
_MARKUP = frozenset({"html", "xml", "markdown", "vue", "svelte", "php"})
# In these a comment's # follows blank space; elsewhere it is part of a word: $#, ${#name}, http://host/#part.
_WORDS_HOLD_HASHES = frozenset({"shellscript", "bash", "sh", "yaml", "perl", "dockerfile", "make", "makefile"})
_BEFORE_COMMENT = ("", " ", "\t", "\r", "\n", ";", "(", ")")

_TRIPLE_QUOTES = frozenset({"python", "julia", "toml", "elixir", "kotlin", "scala", "swift", "java", "csharp"})
_BACKTICK_STRINGS = frozenset({"javascript", "javascriptreact", "typescript", "typescriptreact", "go", "vue", "svelte"})
# Strings in which a backslash is a backslash.
_RAW_STRINGS = frozenset(
    {("go", "`"), ("sql", "'"), ("shellscript", "'"), ("bash", "'"), ("sh", "'"), ("powershell", "'"), ("toml", "'")}
)
_BACKSLASH_IS_LAMBDA = frozenset({"haskell", "elm"})
# In these, an apostrophe is (also) something else than a quote: a lifetime, a prime, a quoting sign, English.
_NO_APOSTROPHES = frozenset(
    {"rust", "haskell", "fsharp", "ocaml", "lisp", "clojure", "scheme", "racket", "commonlisp", "emacs-lisp",
     "markdown", "plaintext", "text", "html", "xml", "latex", "tex", "csv", "vhdl", "verilog", "ada", "json"}
)  # fmt: skip
# Of those, the ones that write a single character between apostrophes.
_CHARACTERS = frozenset({"rust", "haskell", "fsharp", "ocaml", "vhdl", "ada"})
_NO_QUOTES = frozenset({"markdown", "plaintext", "text", "html", "xml", "latex", "tex", "csv"})
