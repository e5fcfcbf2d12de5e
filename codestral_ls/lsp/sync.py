"""didOpen, didChange and didClose, into our own documents."""

from __future__ import annotations

import logging

from lsprotocol import types

from codestral_ls.lsp.lenient import NO_VERSION
from codestral_ls.text.document import Documents, Edit

logger = logging.getLogger(__name__)


def apply(documents: Documents, params: object) -> None:
    """Applies one notification. What a client did against the protocol is logged; its text is taken all the same."""
    if isinstance(params, types.DidChangeTextDocumentParams):
        uri, version = params.text_document.uri, params.text_document.version
        if version == NO_VERSION:
            version = _next_version(documents, uri)
        anomaly = documents.change(uri, version, map(_edit, params.content_changes))
    elif isinstance(params, types.DidOpenTextDocumentParams):
        opened = params.text_document
        version = 0 if opened.version == NO_VERSION else opened.version
        anomaly = documents.open(opened.uri, opened.language_id, version, opened.text)
        uri = opened.uri
    elif isinstance(params, types.DidCloseTextDocumentParams):
        anomaly = documents.close(params.text_document.uri)
        uri = params.text_document.uri
    else:
        return
    if anomaly is not None:
        logger.info("%s: %s", uri, anomaly.value)


def _next_version(documents: Documents, uri: str) -> int:
    """What an editor that does not count would have counted: answers that are under way are told apart by it."""
    document = documents.get(uri)
    return (document.version or 0) + 1 if document is not None else 0


def _edit(change: types.TextDocumentContentChangeEvent) -> Edit:
    if isinstance(change, types.TextDocumentContentChangePartial):
        start, end = change.range.start, change.range.end
        return Edit((start.line, start.character), (end.line, end.character), change.text)
    return Edit(None, None, change.text)
