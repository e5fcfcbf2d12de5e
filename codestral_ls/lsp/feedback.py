"""What the user gets to see besides suggestions: messages, once per kind, and the trace."""

from __future__ import annotations

import logging
from collections.abc import Collection

from lsprotocol import types

from codestral_ls.lsp.protocol import Protocol

logger = logging.getLogger(__name__)

_TYPES = {
    "error": types.MessageType.Error,
    "warning": types.MessageType.Warning,
    "info": types.MessageType.Info,
}
_LEVELS = {"error": logging.ERROR, "warning": logging.WARNING, "info": logging.INFO}


class Feedback:
    """Messages of one connection."""

    def __init__(self, protocol: Protocol) -> None:
        self._protocol = protocol
        self._said: set[str] = set()

    def say(self, kind: str, level: str, message: str) -> None:
        """Shows a message, unless one of this kind was shown and has not been cleared since."""
        if kind in self._said:
            return
        self._said.add(kind)
        logger.log(_LEVELS[level], "%s", message)
        self._protocol.notify(
            types.WINDOW_SHOW_MESSAGE, types.ShowMessageParams(type=_TYPES[level], message=f"Codestral: {message}")
        )

    def has_said(self, prefix: str) -> bool:
        """Whether something of these kinds was said and is not over."""
        return any(kind.startswith(prefix) for kind in self._said)

    def clear(self, prefix: str, keep: Collection[str] = ()) -> None:
        """What was said of these kinds, but for `keep`, is over: the next time it is said again."""
        self._said = {kind for kind in self._said if kind in keep or not kind.startswith(prefix)}

    def trace(self, message: str) -> None:
        """A line for `$/logTrace`, if the client has asked for a trace."""
        if self._protocol.trace not in (types.TraceValue.Off, None):
            self._protocol.notify(types.LOG_TRACE, types.LogTraceParams(message=message))
