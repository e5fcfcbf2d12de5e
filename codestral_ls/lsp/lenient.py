"""Messages as the protocol has them, where editors are known to differ. Facts: measured in the editors themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lsprotocol import types

if TYPE_CHECKING:
    from cattrs import Converter


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
            context = params.get("context")
            if not isinstance(context, dict):
                context = params["context"] = {}
            context["triggerKind"] = self._trigger_kind(context.get("triggerKind"))
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
