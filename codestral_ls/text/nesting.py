"""Which brackets, strings and comments are open at a place, from the text before it. Knows common languages by rule."""

from __future__ import annotations

import re
from dataclasses import dataclass

_CLOSER = {"(": ")", "[": "]", "{": "}"}
_TEXT_CLOSERS = frozenset({'"', "'", "`", '"""', "'''", "*/", "\n", "-->"})
_TOKEN = re.compile(r"""\\.|\"\"\"|'''|["'`]|\$\{|[()\[\]{}]|//|/\*|\*/|<!--|-->|--|[#;%\n]""", re.DOTALL)

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

_TRIPLE_QUOTES = frozenset({"python", "julia", "toml", "elixir", "kotlin", "scala", "swift", "java", "csharp"})
_BACKTICK_STRINGS = frozenset({"javascript", "javascriptreact", "typescript", "typescriptreact", "go", "vue", "svelte"})
# In these, an apostrophe is (also) something else than a quote: a lifetime, a prime, a quoting sign, English.
_NO_APOSTROPHES = frozenset(
    {"rust", "haskell", "fsharp", "ocaml", "lisp", "clojure", "scheme", "racket", "commonlisp", "emacs-lisp",
     "markdown", "plaintext", "text", "html", "xml", "latex", "tex", "csv", "vhdl", "verilog", "ada", "json"}
)  # fmt: skip
_NO_QUOTES = frozenset({"markdown", "plaintext", "text", "html", "xml", "latex", "tex", "csv"})


@dataclass(frozen=True)
class State:
    """What is open: what would close each opened thing, the innermost last; `under` counts closers of nothing."""

    closers: tuple[str, ...]
    under: int

    @property
    def in_text(self) -> bool:
        """Whether the place is inside a string or a comment, where brackets and indentation mean nothing."""
        return bool(self.closers) and self.closers[-1] in _TEXT_CLOSERS


class Nesting:
    """Feed it text in order; `state` is what is open after it. Costs the text that is fed."""

    def __init__(self, language: str) -> None:
        self._stack: list[str] = []
        self._under = 0
        self._comments = _LINE_COMMENTS.get(language, _SLASHES)
        self._triple = language in _TRIPLE_QUOTES
        self._backtick = language in _BACKTICK_STRINGS
        self._apostrophe = language not in _NO_APOSTROPHES
        self._quote = language not in _NO_QUOTES
        self._block_comments = self._comments is _SLASHES or language in ("php", "css", "sql", "vue", "svelte")

    @property
    def state(self) -> State:
        return State(tuple(self._stack), self._under)

    def feed(self, text: str) -> None:
        """Goes on over `text`. A token must not be cut: feed whole lines, or everything at once."""
        for match in _TOKEN.finditer(text):
            self._token(match[0], text, match.start())

    def states(self, text: str) -> list[State]:
        """Like `feed`, and gives the state before each character of `text` and, last, after it."""
        states: list[State] = []
        for match in _TOKEN.finditer(text):
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
        elif token in _CLOSER:
            self._stack.append(_CLOSER[token])
        elif token in (")", "]", "}"):
            if top == token:
                self._stack.pop()
            else:
                self._under += 1
        elif token in self._comments:
            self._stack.append("\n")
        elif token == "/*" and self._block_comments:
            self._stack.append("*/")
        elif token == "<!--":
            self._stack.append("-->")
        elif token in ('"""', "'''"):
            self._stack.append(token) if self._triple else None
        elif self._opens_string(token, text, at):
            self._stack.append(token)

    def _token_in_text(self, token: str, top: str) -> None:
        if token == top:
            self._stack.pop()
        elif token == "\n" and top in ('"', "'"):
            # A string of one line that is not closed on it: a typing error, or no string at all.
            self._stack.pop()
        elif token == "${" and top == "`":
            self._stack.append("}")
        elif token in ('"""', "'''") and token[0] == top:
            self._stack.pop()

    def _opens_string(self, token: str, text: str, at: int) -> bool:
        if token == '"':
            return self._quote
        if token == "`":
            return self._backtick
        return token == "'" and self._apostrophe and not text[at - 1 : at].isalnum()
