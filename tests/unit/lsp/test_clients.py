"""Which profile an editor gets, by its name and by what it declares."""

from __future__ import annotations

from typing import Any

import pytest
from lsprotocol import converters, types

from codestral_ls.lsp.clients import MenuText, Profile, profile_of

INLINE: dict[str, Any] = {"textDocument": {"inlineCompletion": {}}}
NULL: dict[str, Any] = {"textDocument": {"inlineCompletion": None}}
VSCODE: dict[str, Any] = {**INLINE, "workspace": {"textDocumentContent": {}}}

_converter = converters.get_converter()


def profile(name: str | None, capabilities: dict[str, Any]) -> Profile:
    client = types.ClientInfo(name) if name is not None else None
    return profile_of(client, _converter.structure(capabilities, types.ClientCapabilities))


@pytest.mark.parametrize(
    ("name", "capabilities", "known_as", "inline"),
    [
        ("Neovim", INLINE, "neovim", True),
        ("Neovim", {}, "neovim", False),  # 0.11
        ("Neovim", NULL, "neovim", False),
        ("helix", {}, "helix", False),
        ("helix", INLINE, "helix", True),  # should it ever
        ("Eglot", {}, "eglot", False),
        ("Eglot", INLINE, "eglot", True),  # with our overlay
        ("emacs", NULL, "lsp-mode", True),
        ("emacs", {}, "lsp-mode", True),
        ("coc.nvim", INLINE, "coc.nvim", True),
        ("Zed", {}, "zed", False),
        ("Zed Preview", {}, "zed", False),
        ("Sublime Text LSP", {}, "sublime", False),
        ("Vim", {}, "vim", False),
        ("vim-lsp", {}, "vim", False),
        ("Visual Studio Code", VSCODE, "vscode", True),
        ("VSCodium", VSCODE, "vscode", True),
        ("Some Fork Of It", VSCODE, "vscode", True),
        ("Visual Studio Code", INLINE, "unknown", True),
        ("Visual Studio Code", {"workspace": {"textDocumentContent": {}}}, "unknown", False),
        ("Sublime Text LSP", {"workspace": {"textDocumentContent": {}}}, "sublime", False),
        (None, INLINE, "unknown", True),
        (None, {}, "unknown", False),  # Kate, ALE
        ("", {}, "unknown", False),
        ("my helix", {}, "unknown", False),
        ("Neovim-like", INLINE, "unknown", True),
    ],
)
def test_profiles(name: str | None, capabilities: dict[str, Any], known_as: str, inline: bool) -> None:
    found = profile(name, capabilities)
    assert (found.name, found.inline) == (known_as, inline)


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("Neovim", MenuText.DEDENTED_SNIPPET),
        ("helix", MenuText.DEDENTED),
        ("Eglot", MenuText.AS_IS),
        ("Zed", MenuText.DEDENTED),
        ("Sublime Text LSP", MenuText.DEDENTED),
        ("Vim", MenuText.AS_IS),
        (None, MenuText.AS_IS),
    ],
)
def test_forms_of_the_menu(name: str | None, form: MenuText) -> None:
    assert profile(name, {}).menu_text is form


@pytest.mark.parametrize(
    ("name", "capabilities", "milliseconds"),
    [
        ("Neovim", INLINE, 200),
        ("Visual Studio Code", VSCODE, 50),
        ("coc.nvim", INLINE, 160),
        ("emacs", NULL, 2000),
        ("Eglot", INLINE, 200),
        (None, INLINE, 0),
    ],
)
def test_what_an_editor_has_waited_before_it_asks(
    name: str | None, capabilities: dict[str, Any], milliseconds: float
) -> None:
    assert profile(name, capabilities).debounce_ms == milliseconds
