"""didOpen, didChange and didClose, into our own documents."""

from __future__ import annotations

import logging

from lsprotocol import types

from codestral_ls.text.document import Documents, Edit

logger = logging.getLogger(__name__)


def apply(documents: Documents, params: object) -> None:
    """Applies one notification. What a client did against the protocol is logged; its text is taken all the same."""
    if isinstance(params, types.DidChangeTextDocumentParams):
        anomaly = documents.change(
            params.text_document.uri, params.text_document.version, map(_edit, params.content_changes)
        )
        uri = params.text_document.uri
    elif isinstance(params, types.DidOpenTextDocumentParams):
        opened = params.text_document
        anomaly = documents.open(opened.uri, opened.language_id, opened.version, opened.text)
        uri = opened.uri
    elif isinstance(params, types.DidCloseTextDocumentParams):
        anomaly = documents.close(params.text_document.uri)
        uri = params.text_document.uri
    else:
        return
    if anomaly is not None:
        logger.info("%s: %s", uri, anomaly.value)


def _edit(change: types.TextDocumentContentChangeEvent) -> Edit:
    if isinstance(change, types.TextDocumentContentChangePartial):
        start, end = change.range.start, change.range.end
        return Edit((start.line, start.character), (end.line, end.character), change.text)
    return Edit(None, None, change.text)
