"""textDocument/completion, for editors without inline completion: one item, in the form that the editor takes."""

from __future__ import annotations

import logging
import re
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from lsprotocol import types

from codestral_ls.lsp.clients import MenuText
from codestral_ls.lsp.inline import suggest
from codestral_ls.settings import Settings
from codestral_ls.text.columns import units
from codestral_ls.text.document import Snapshot

if TYPE_CHECKING:
    from codestral_ls.lsp.session import Session

logger = logging.getLogger(__name__)

TRIGGER_CHARACTERS = (".", "(", "[", "{", "=", ":", ",", " ", '"', "'", "/", ">")
LONGEST_LABEL = 60
_STEM = re.compile(r"\w*$")
_LINE_CHARS = 400


def options() -> types.CompletionOptions:
    """What is announced to clients that get the menu."""
    return types.CompletionOptions(trigger_characters=list(TRIGGER_CHARACTERS))


def completion(session: Session, params: types.CompletionParams) -> Coroutine[Any, Any, types.CompletionList]:
    """Takes the snapshot now, in the order of messages; the coroutine finds the answer."""
    uri = params.text_document.uri
    session.supersede("menu", uri)
    document = session.documents.get(uri)
    return _answer(session, params, document.snapshot() if document is not None else None)


async def _answer(session: Session, params: types.CompletionParams, snapshot: Snapshot | None) -> types.CompletionList:
    if snapshot is None:
        return types.CompletionList(is_incomplete=True, items=[])
    invoked = _is_gesture(session.settings.for_language(snapshot.language), params.context)
    try:
        offset, text = await suggest(session, snapshot, params.position, invoked, session.profile.menu_debounce_ms)
    except Exception:
        logger.exception("A completion failed")
        text = ""
    items = [_item(session, snapshot, offset, text)] if text else []
    # Incomplete, always: with each further character there may be another one.
    return types.CompletionList(is_incomplete=True, items=items)


def _is_gesture(settings: Settings, context: types.CompletionContext | None) -> bool:
    """Whether the user has asked for a suggestion.

    Kind 1 is the key for the menu, and in most editors also the first word character, so it is no gesture of its own.
    Where the trigger is manual, it is the only one that there can be.
    """
    if not settings.enabled or settings.trigger != "manual" or context is None:
        return False
    return context.trigger_kind == types.CompletionTriggerKind.Invoked


def _item(session: Session, snapshot: Snapshot, offset: int, text: str) -> types.CompletionItem:
    """The item replaces the word before the cursor, which menus match against, by itself and the suggestion."""
    encoding = session.documents.encoding
    before = snapshot.line_before(offset, _LINE_CHARS)
    stem = (_STEM.search(before) or [""])[0]
    whole = stem + session.profile.own_line_ends(text)
    line, character = snapshot.text.position_at(offset, encoding)
    edit_range = types.Range(types.Position(line, character - units(stem, encoding)), types.Position(line, character))
    profile = session.profile
    shown = whole.strip() or whole
    label = shown.splitlines()[0]
    new_text = whole
    if profile.menu_text is not MenuText.AS_IS:
        new_text = _dedented(whole, _indentation(snapshot, offset))
    snippet = profile.menu_text is MenuText.DEDENTED_SNIPPET and "\n" in new_text
    return types.CompletionItem(
        label=label if len(label) <= LONGEST_LABEL else label[: LONGEST_LABEL - 1] + "…",
        label_details=types.CompletionItemLabelDetails(description="Codestral"),
        detail="Codestral",
        documentation=types.MarkupContent(types.MarkupKind.Markdown, _fenced(whole, snapshot.language)),
        filter_text=whole.split("\n")[0].rstrip("\r") or stem,
        insert_text_format=types.InsertTextFormat.Snippet if snippet else types.InsertTextFormat.PlainText,
        insert_text_mode=profile.insert_text_mode,
        kind=types.CompletionItemKind.Text if not snippet else types.CompletionItemKind.Snippet,
        text_edit=types.TextEdit(edit_range, _escaped(new_text) if snippet else new_text),
    )


def _indentation(snapshot: Snapshot, offset: int) -> str:
    """The blanks at the start of the cursor's line, up to the cursor."""
    start = snapshot.text.line_start(snapshot.text.line_of(offset))
    head = snapshot.text.slice(start, min(offset, start + _LINE_CHARS))
    return head[: len(head) - len(head.lstrip(" \t"))]


def _fenced(text: str, language: str) -> str:
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def _dedented(text: str, indentation: str) -> str:
    """Later lines without the indentation of the cursor's line, which the editor adds itself."""
    first, *rest = text.split("\n")
    return "\n".join([first, *(line.removeprefix(indentation) for line in rest)])


def _escaped(text: str) -> str:
    return re.sub(r"([\\$}])", r"\\\1", text)
