"""Messages as the protocol has them, where editors are known to differ. Facts: measured in the editors themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lsprotocol import types

if TYPE_CHECKING:
    from cattrs import Converter

NO_VERSION = -(2**31)
"""Stands for a version that was not given: the smallest number that the protocol has, which no editor counts to."""

MAX_UINTEGER = 2**31 - 1
"""The largest line, column or version of the protocol (`uinteger`, base types of LSP 3.18)."""


class Leniency:
    """What is forgiven to one client. Changes messages in place, before they are structured."""

    def __init__(self, converter: Converter) -> None:
        self._converter = converter
        self._counts_from_zero = False

    def adapt(self, data: dict[str, Any], method: str | None) -> None:
        """Takes out what would keep a message from being read although its meaning is plain."""
        params = data.get("params")
        if method == types.INITIALIZE and isinstance(params, dict):
            # What is in the options is for the settings to judge.
            if not isinstance(params.get("capabilities"), dict):
                params["capabilities"] = {}
        elif method == types.TEXT_DOCUMENT_INLINE_COMPLETION and isinstance(params, dict):
            _clamp(params.get("position"))
            context = params.get("context")
            if not isinstance(context, dict):
                context = params["context"] = {}
            context["triggerKind"] = self._trigger_kind(context.get("triggerKind"))
            # Nothing here asks for it, and editors fill it in from what their menu shows.
            context.pop("selectedCompletionInfo", None)
        elif method == types.TEXT_DOCUMENT_COMPLETION and isinstance(params, dict):
            _clamp(params.get("position"))
            _adapt_menu_context(params)
        elif method == types.TEXT_DOCUMENT_DID_OPEN and isinstance(params, dict):
            _adapt_version(params.get("textDocument"))
            _refuse_no_text(params.get("textDocument"))
        elif method == types.TEXT_DOCUMENT_DID_CHANGE and isinstance(params, dict):
            _adapt_version(params.get("textDocument"))
            _adapt_changes(params.get("contentChanges"))
        elif method is not None and params == []:
            # Lua has one empty table for both.
            data["params"] = {}

    def salvage(self, data: dict[str, Any]) -> None:
        """Drops, from an `initialize` that cannot be read, the parts that are at fault: a client's slip in a
        capability that we have no use for must not cost the user the server."""
        params = data.get("params")
        if not isinstance(params, dict):
            return
        capabilities = params["capabilities"]
        for group, members in list(capabilities.items()):
            if isinstance(members, dict):
                for name, member in list(members.items()):
                    if not self._reads({"capabilities": {group: {name: member}}}):
                        del members[name]
            if not self._reads({"capabilities": {group: capabilities[group]}}):
                del capabilities[group]
        for name, value in list(params.items()):
            if name != "capabilities" and not self._reads({name: value}):
                params[name] = None

    def _reads(self, params: dict[str, Any]) -> bool:
        least: dict[str, Any] = {"processId": None, "rootUri": None, "capabilities": {}}
        try:
            self._converter.structure({**least, **params}, types.InitializeParams)
        except Exception:  # noqa: BLE001 - whatever a hook makes of a value of the wrong kind
            return False
        return True

    def _trigger_kind(self, kind: object) -> int:
        """1 for Invoked, 2 for Automatic. Drafts counted from 0; a connection that has once sent 0 does."""
        automatic = types.InlineCompletionTriggerKind.Automatic.value
        invoked = types.InlineCompletionTriggerKind.Invoked.value
        if isinstance(kind, bool) or not isinstance(kind, int):
            return automatic
        if kind == 0:
            self._counts_from_zero = True
            return invoked
        return invoked if kind == invoked and not self._counts_from_zero else automatic


def _adapt_version(document: object) -> None:
    """A version that the protocol does not have becomes `NO_VERSION`."""
    if isinstance(document, dict):
        version = document.get("version")
        if isinstance(version, bool) or not isinstance(version, int) or not NO_VERSION < version <= MAX_UINTEGER:
            document["version"] = NO_VERSION


def _adapt_changes(changes: object) -> None:
    """No range is the whole text, as without the field; places beyond any text are clamped."""
    if not isinstance(changes, list):
        return
    for change in changes:
        if isinstance(change, dict):
            _refuse_no_text(change)
            change.pop("rangeLength", None)  # deprecated, and said by the range
            edited = change.get("range")
            if edited is None:
                change.pop("range", None)
            elif isinstance(edited, dict):
                _clamp(edited.get("start"))
                _clamp(edited.get("end"))


def _refuse_no_text(holder: object) -> None:
    """Makes a text that is none unreadable: the converter would write `None` into the document for a null."""
    if isinstance(holder, dict) and not isinstance(holder.get("text"), str):
        holder.pop("text", None)


def _adapt_menu_context(params: dict[str, Any]) -> None:
    """The context may be left out, so one that cannot be read is."""
    context = params.get("context")
    kinds = [kind.value for kind in types.CompletionTriggerKind]
    if not isinstance(context, dict) or context.get("triggerKind") not in kinds:
        params.pop("context", None)
    elif not isinstance(context.get("triggerCharacter"), str):
        context.pop("triggerCharacter", None)


def _clamp(position: object) -> None:
    """Brings the numbers of a position into the protocol's range."""
    if isinstance(position, dict):
        for name in ("line", "character"):
            value = position.get(name)
            if isinstance(value, (int, float)) and not 0 <= value <= MAX_UINTEGER:
                position[name] = 0 if value < 0 else MAX_UINTEGER
