"""textDocument/inlineCompletion: the newest request is always answered with a list, never null and never an error."""

from __future__ import annotations

import logging
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from lsprotocol import types

from codestral_ls.text.document import Document, Snapshot

if TYPE_CHECKING:
    from codestral_ls.lsp.session import Session

logger = logging.getLogger(__name__)

ACCEPTED_COMMAND = "codestral-ls.accepted"


def inline_completion(
    session: Session, params: types.InlineCompletionParams
) -> Coroutine[Any, Any, types.InlineCompletionList]:
    """Takes the snapshot now, in the order of messages; the coroutine finds the answer."""
    uri = params.text_document.uri
    session.supersede("inline", uri)
    document = session.documents.get(uri)
    snapshot = document.snapshot() if document is not None else None
    return _answer(session, params, document, snapshot)


async def _answer(
    session: Session, params: types.InlineCompletionParams, document: Document | None, snapshot: Snapshot | None
) -> types.InlineCompletionList:
    if document is None or snapshot is None:
        logger.info("A completion was asked for in a document that is not open")
        return types.InlineCompletionList(items=[])
    invoked = params.context.trigger_kind == types.InlineCompletionTriggerKind.Invoked
    try:
        offset, text = await suggest(session, snapshot, params.position, invoked, session.profile.debounce_ms)
        offset, text = _moved(document, snapshot, offset, text)
    except Exception:
        # Any error that reaches VS Code is a popup at each key.
        logger.exception("A completion failed")
        text = ""
    if not text or session.documents.get(snapshot.uri) is not document:
        # Closed meanwhile, or closed and opened again: what is there now is another text.
        return types.InlineCompletionList(items=[])
    line, character = document.snapshot().text.position_at(offset, session.documents.encoding)
    at = types.Position(line, character)
    item = types.InlineCompletionItem(
        insert_text=session.profile.own_line_ends(text),
        range=types.Range(at, at),
        command=types.Command(title="Accepted", command=ACCEPTED_COMMAND),
    )
    return types.InlineCompletionList(items=[item])


async def suggest(
    session: Session, snapshot: Snapshot, position: types.Position, invoked: bool, waited_ms: float
) -> tuple[int, str]:
    """The offset of a position, and what could stand there: empty for nothing."""
    from codestral_ls.completion.types import Ask, Trigger

    offset = snapshot.text.offset_at(position.line, position.character, session.documents.encoding)
    outcome = await session.engine.suggest(
        Ask(
            snapshot,
            offset,
            Trigger.INVOKED if invoked else Trigger.AUTOMATIC,
            session.settings.for_language(snapshot.language),
            waited_ms,
            session.excluded(snapshot.uri),
        )
    )
    session.tell(outcome)
    text = outcome.suggestions[0].text if outcome.suggestions else ""
    return offset, text if _has_utf8_form(text) else ""


def _has_utf8_form(text: str) -> bool:
    """Whether there is no half of a surrogate pair in it, which editors refuse the whole message for."""
    try:
        text.encode()
    except UnicodeEncodeError:
        logger.info("A suggestion with half a character in it was dropped")
        return False
    return True


def _moved(document: Document, snapshot: Snapshot, offset: int, text: str) -> tuple[int, str]:
    """The suggestion as it fits the document now: shortened by what was typed along meanwhile, else dropped.

    Neovim draws an answer wherever the cursor is by then.
    """
    now = document.snapshot()
    if now.text is snapshot.text or not text:
        return offset, text
    typed = ""
    for change in document.changes:
        if snapshot.version is not None and change.version is not None and change.version <= snapshot.version:
            continue
        if change.removed or change.start != offset + len(typed):
            return offset, ""
        typed += change.inserted
    # The history is short: what it has forgotten shows in a length that it does not explain.
    if len(now.text) != len(snapshot.text) + len(typed) or not typed or not text.startswith(typed):
        return offset, ""
    return offset + len(typed), text[len(typed) :]
