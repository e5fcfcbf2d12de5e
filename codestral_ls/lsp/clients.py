"""What each editor needs done differently, as data. Facts and versions: measured in the editors themselves."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass, replace

from lsprotocol import types

from codestral_ls.text.lines import line_feeds


class MenuText(enum.Enum):
    """In which form the completion menu takes a suggestion of several lines."""

    AS_IS = "as is"
    """The text goes in as it is sent."""
    DEDENTED = "dedented"
    """The editor adds the current line's indentation to each later line."""
    DEDENTED_SNIPPET = "dedented snippet"
    """The same, and a plain text would be cut to its first line."""


@dataclass(frozen=True)
class Profile:
    """One kind of client. Debounces in milliseconds: what has passed since the last key when a request comes."""

    name: str
    inline: bool
    debounce_ms: float = 0.0
    menu_debounce_ms: float = 0.0
    menu_text: MenuText = MenuText.AS_IS
    insert_text_mode: types.InsertTextMode | None = None
    shows_carriage_returns: bool = False
    """Takes a carriage return in a suggestion for text, whatever the line ends of its documents: Vim and Emacs hold
    lines, and write their ends when they save."""

    def own_line_ends(self, text: str) -> str:
        """A suggestion with the line ends that this editor takes."""
        return line_feeds(text) if self.shows_carriage_returns else text


UNKNOWN = Profile("unknown", inline=True)

_AS_IS = types.InsertTextMode.AsIs
_ADJUST = types.InsertTextMode.AdjustIndentation

_BY_NAME: tuple[tuple[re.Pattern[str], Profile], ...] = (
    # Neovim waits a fixed 200 ms before an inline completion; its menu is asked at once.
    (
        re.compile(r"Neovim$"),
        Profile("neovim", True, debounce_ms=200, menu_text=MenuText.DEDENTED_SNIPPET, shows_carriage_returns=True),
    ),
    (re.compile(r"helix$"), Profile("helix", False, menu_debounce_ms=250, menu_text=MenuText.DEDENTED)),
    (re.compile(r"Eglot$"), Profile("eglot", False, debounce_ms=200, shows_carriage_returns=True)),
    # lsp-mode declares "inlineCompletion": null although it has a mode for it.
    (
        re.compile(r"emacs$"),
        Profile("lsp-mode", True, debounce_ms=2000, insert_text_mode=_AS_IS, shows_carriage_returns=True),
    ),
    (re.compile(r"coc\.nvim$"), Profile("coc.nvim", True, debounce_ms=160, shows_carriage_returns=True)),
    (re.compile(r"Zed"), Profile("zed", False, menu_text=MenuText.DEDENTED, insert_text_mode=_ADJUST)),
    (
        re.compile(r"Sublime Text LSP$"),
        Profile("sublime", False, menu_text=MenuText.DEDENTED, insert_text_mode=_ADJUST),
    ),
    (re.compile(r"Vim$|vim-lsp$"), Profile("vim", False, insert_text_mode=_AS_IS, shows_carriage_returns=True)),
)

_VSCODE = Profile("vscode", True, debounce_ms=50, menu_text=MenuText.DEDENTED, insert_text_mode=_ADJUST)


def profile_of(client: types.ClientInfo | None, capabilities: types.ClientCapabilities) -> Profile:
    """The profile of a client, by its name and by what it declares.

    The VS Code family goes by many product names; it is known by declaring what only its client declares.
    """
    declares_inline = (
        capabilities.text_document is not None and capabilities.text_document.inline_completion is not None
    )
    name = client.name if client is not None else ""
    for pattern, profile in _BY_NAME:
        if pattern.match(name):
            # An editor that grows inline completion (Eglot with our overlay, Neovim 0.12) says so.
            if declares_inline or profile.name == "lsp-mode":
                return replace(profile, inline=True)
            return replace(profile, inline=False)
    if declares_inline and capabilities.workspace is not None and capabilities.workspace.text_document_content:
        return _VSCODE
    return replace(UNKNOWN, inline=declares_inline)
