"""pygls' protocol with our manners: nothing unanswered, no toast for a slip of ours, messages handled in their order.

Handlers are plain functions. What a handler does before it returns a coroutine happens in the order of messages:
that is where a snapshot is taken, for the coroutine itself starts a loop turn later, when the next change may have
been applied already.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
from collections.abc import Callable, Generator
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from lsprotocol import types
from pygls.exceptions import JsonRpcException, JsonRpcRequestCancelled
from pygls.protocol import LanguageServerProtocol, lsp_method

from codestral_ls.lsp.lenient import Leniency

if TYPE_CHECKING:
    from cattrs import Converter
    from pygls.lsp.server import LanguageServer

logger = logging.getLogger(__name__)

CLIENT_SECONDS = 10.0
"""How long a request to the client is waited for: some clients never answer (Kate's showDocument)."""

MAX_LOGGED_CHARS = 400


class Protocol(LanguageServerProtocol):
    """One connection to an editor."""

    def __init__(self, server: LanguageServer, converter: Converter) -> None:
        super().__init__(server, converter)
        # It has a traceback for each slip of a client's; what is to be said of those is said here.
        logging.getLogger("pygls.protocol.json_rpc").disabled = True
        self.on_exit: Callable[[], None] = lambda: None
        self.on_trace: Callable[[str, object], None] | None = None
        """Called with `<` (to the client) or `>` (from it) and each message as plain JSON values."""
        self.sync: Callable[[object], None] = lambda _params: None
        """Takes didOpen, didChange and didClose, in place of pygls' workspace."""
        self._leniency = Leniency(converter)
        self._initialized = False

    @property
    def is_shut_down(self) -> bool:
        """Whether the client has asked for the shutdown."""
        return self._shutdown

    # Incoming

    def receive(self, body: bytes) -> None:
        """Takes one message. Never raises: what cannot be read is answered, where it asks for an answer, and logged."""
        try:
            data = json.loads(body)
        except (ValueError, RecursionError) as error:
            # The error's text alone: the body may be the user's source code.
            logger.warning("A message from the editor is not JSON (%s)", error)
            self._send_error(None, types.ErrorCodes.ParseError, "The message is not JSON.")
            return
        if not isinstance(data, dict) or data.get("jsonrpc") != self.VERSION:
            logger.warning("A message from the editor is not JSON-RPC 2.0: %s", _excerpt(data))
            self._send_error(None, types.ErrorCodes.InvalidRequest, "The message is not a JSON-RPC 2.0 object.")
            return
        try:
            if self.on_trace is not None:
                self.on_trace(">", data)
            self._take(data)
        except RecursionError:
            # Its traceback would be as long as the message is deep.
            logger.warning("A message from the editor is nested too deeply: %s", _excerpt(data))
            self._refuse(data, types.ErrorCodes.InvalidRequest, "The message is nested too deeply.")
        except Exception:
            # One message must not take the ones behind it along.
            logger.exception("A message could not be handled: %s", _excerpt(data))
            self._refuse(data, types.ErrorCodes.InternalError, "The message could not be handled.")

    def _take(self, data: dict[str, Any]) -> None:
        method = data.get("method")
        if method is None:
            self._take_response(data)
            return
        if not isinstance(method, str):
            self._refuse(data, types.ErrorCodes.InvalidRequest, "The method is not a string.")
            return
        if not self._is_welcome(data, method):
            return
        if not self._is_known(method):
            if "id" in data:
                self._send_error(data["id"], types.ErrorCodes.MethodNotFound, f"There is no method {method}.")
            return
        self._leniency.adapt(data, method)
        message = self._structured(data, method)
        if message is None:
            self._lose_text(method, data.get("params"))
            self._refuse(data, types.ErrorCodes.InvalidParams, f"The parameters of {method} cannot be read.")
            return
        if "id" in data and method != types.EXIT and not hasattr(message, "id"):
            self._refuse(data, types.ErrorCodes.InvalidRequest, f"{method} is a notification.")
            return
        self._initialized = self._initialized or method == types.INITIALIZE
        self.handle_message(message)

    def _structured(self, data: dict[str, Any], method: str) -> Any:
        """The message as an object of lsprotocol's; None if it cannot be read."""
        try:
            return self.structure_message(data)
        except JsonRpcException:
            if method != types.INITIALIZE:
                return None
        self._leniency.salvage(data)
        try:
            return self.structure_message(data)
        except JsonRpcException:
            return None

    def _lose_text(self, method: str, params: object) -> None:
        """Closes the document whose text an unreadable message changed: no suggestion is better than one for a text
        that is no longer there."""
        if method not in (types.TEXT_DOCUMENT_DID_OPEN, types.TEXT_DOCUMENT_DID_CHANGE) or not isinstance(params, dict):
            return
        document = params.get("textDocument")
        uri = document.get("uri") if isinstance(document, dict) else None
        if isinstance(uri, str):
            logger.warning("%s: its text is not known any more; close it and open it again", uri)
            self.sync(types.DidCloseTextDocumentParams(types.TextDocumentIdentifier(uri)))

    def _is_known(self, method: str) -> bool:
        return method == types.CANCEL_REQUEST or method in self.fm.builtin_features or method in self.fm.features

    def _take_response(self, data: dict[str, Any]) -> None:
        msg_id = data.get("id")
        # Ids of both directions share one table in pygls; there, a task is a request of the client's own.
        future: object = self._request_futures.get(msg_id) if isinstance(msg_id, str) else None
        if not isinstance(msg_id, str) or not isinstance(future, Future) or future.done():
            logger.info("The editor sent neither a request nor an answer to one that waits")
            return
        # Some clients send both fields, one of them null.
        error = data.pop("error", None)
        data = {**data, "result": data.get("result")} if error is None else {**data, "error": error}
        if self._result_types.get(msg_id) is types.ConfigurationResponse and not isinstance(data.get("result"), list):
            # lsprotocol would make a list of anything that can be run through.
            data["result"] = []
        try:
            self.handle_message(self.structure_message(data))
        except JsonRpcException:
            logger.info("The editor's answer to a request of ours cannot be read")
            self._handle_response(msg_id, None)

    def handle_message(self, message: Any) -> None:
        """Sends a message to its handler. pygls tells the kinds apart by slow runtime protocols; the fields suffice."""
        if hasattr(message, "method"):
            if hasattr(message, "id"):
                self._ctx_msg_id.set(message.id)
                self._handle_request(message.id, message.method, getattr(message, "params", None))
            else:
                self._handle_notification(message.method, getattr(message, "params", None))
        elif getattr(message, "error", None) is not None:
            self._handle_response(message.id, None, message.error)
        else:
            self._handle_response(message.id, message.result)

    def cancel(self, msg_id: int | str) -> None:
        """Ends a request that is still worked on; it is answered with -32800."""
        if (future := self._request_futures.get(msg_id)) is not None:
            future.cancel()

    def _is_welcome(self, data: dict[str, Any], method: str) -> bool:
        if method == types.EXIT:
            return True
        if self._shutdown:
            self._refuse(data, types.ErrorCodes.InvalidRequest, "The server is shutting down.")
            return False
        if method == types.INITIALIZE:
            if self._initialized:
                self._refuse(data, types.ErrorCodes.InvalidRequest, "The server is initialized already.")
                return False
        elif not self._initialized and not method.startswith("$/"):
            self._refuse(data, types.ErrorCodes.ServerNotInitialized, "The server is not initialized yet.")
            return False
        return True

    def _execute_handler(
        self,
        msg_id: int | str,
        handler: Callable[..., Any],
        callback: Callable[[Any], None],
        args: tuple[Any, ...] | None = None,
        kwargs: dict[str, Any] | None = None,
    ) -> None:
        if inspect.isgeneratorfunction(handler):
            super()._execute_handler(msg_id, handler, callback, args, kwargs)
            return
        future: asyncio.Future[Any] | Future[Any]
        try:
            result = handler(*(args or ()), **(kwargs or {}))
        except Exception as error:  # noqa: BLE001 - whatever a handler raises is the answer to its request
            future = Future()
            future.set_exception(error)
        else:
            if inspect.iscoroutine(result):
                future = asyncio.ensure_future(result)
                self._request_futures[msg_id] = future  # type: ignore[assignment]
            else:
                future = Future()
                future.set_result(result)
        future.add_done_callback(callback)

    def _handle_cancel_notification(self, msg_id: int | str) -> None:
        self.cancel(msg_id)

    def _handle_notification(self, method_name: str, params: Any) -> None:
        if method_name.startswith("$/") and method_name not in (types.CANCEL_REQUEST, types.SET_TRACE):
            return
        super()._handle_notification(method_name, params)

    # Outgoing

    async def ask_client(self, method: str, params: object) -> Any:
        """The client's answer to a request; None if it refuses or does not answer in `CLIENT_SECONDS`."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Any] = loop.create_future()

        def arrived(sent: Future[Any]) -> None:
            if answer.done():
                return
            if sent.cancelled():
                logger.info("The editor did not answer %s", method)
                answer.set_result(None)
            elif (error := sent.exception()) is not None:
                logger.info("The editor refused %s: %s", method, error)
                answer.set_result(None)
            else:
                answer.set_result(sent.result())

        sent = self.send_request(method, params)
        sent.add_done_callback(arrived)
        # One step from the answer to who waits for it: what the client sends next must find it taken.
        timer = loop.call_later(CLIENT_SECONDS, sent.cancel)
        try:
            return await answer
        finally:
            timer.cancel()

    def _send_handler_result(self, future: Any, *, msg_id: int | str) -> None:
        self._request_futures.pop(msg_id, None)
        if future.cancelled():
            cancelled = JsonRpcRequestCancelled("The request was cancelled.")
            self._send_response(msg_id, error=cancelled.to_response_error())
            return
        error = future.exception()
        if error is None:
            self._send_response(msg_id, result=future.result())
        elif isinstance(error, JsonRpcException):
            self._send_response(msg_id, error=error.to_response_error())
        else:
            logger.error("A request failed", exc_info=error)
            self._send_error(msg_id, types.ErrorCodes.InternalError, f"The request failed: {type(error).__name__}.")

    def _check_handler_result(self, future: Any) -> None:
        if not future.cancelled() and (error := future.exception()) is not None:
            logger.error("A notification could not be handled", exc_info=error)

    def _send_data(self, data: Any) -> None:
        if self.writer is None:
            return
        body = json.dumps(data, default=self._serialize_message, separators=(",", ":"))
        if self.on_trace is not None:
            self.on_trace("<", json.loads(body))
        raw = body.encode("ascii")
        try:
            self.writer.write(b"Content-Length: %d\r\n\r\n%b" % (len(raw), raw))
        except (OSError, ValueError):
            # The client is gone; the end of its input ends the server.
            logger.info("The editor does not read any more")

    def _refuse(self, data: dict[str, Any], code: types.ErrorCodes, message: str) -> None:
        logger.warning("%s %s", message, _excerpt(data))
        if data.get("id") is not None and data.get("method") is not None:
            self._send_error(data["id"], code, message)

    def _send_error(self, msg_id: Any, code: types.ErrorCodes, message: str) -> None:
        self._send_data({"jsonrpc": "2.0", "id": msg_id, "error": {"code": code.value, "message": message}})

    # What pygls does itself and we do otherwise

    @lsp_method(types.TEXT_DOCUMENT_DID_OPEN)
    def lsp_text_document__did_open(self, params: types.DidOpenTextDocumentParams) -> None:
        self.sync(params)

    @lsp_method(types.TEXT_DOCUMENT_DID_CHANGE)
    def lsp_text_document__did_change(self, params: types.DidChangeTextDocumentParams) -> None:
        self.sync(params)

    @lsp_method(types.TEXT_DOCUMENT_DID_CLOSE)
    def lsp_text_document__did_close(self, params: types.DidCloseTextDocumentParams) -> None:
        self.sync(params)

    @lsp_method(types.SHUTDOWN)
    def lsp_shutdown(self, *_args: Any) -> None:  # type: ignore[override]
        for future in list(self._request_futures.values()):
            future.cancel()
        self._shutdown = True

    @lsp_method(types.EXIT)
    def lsp_exit(self, *_args: Any) -> Generator[Any, Any, None]:
        self.on_exit()
        yield from ()


def _excerpt(data: object) -> str:
    """A message's outline for the log: its text may be the user's source code, and is left out."""
    if isinstance(data, dict):
        return json.dumps({name: data[name] for name in ("id", "method") if name in data})[:MAX_LOGGED_CHARS]
    return type(data).__name__
