"""What one connection holds: settings, documents, the engine, the client's profile."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from lsprotocol import types
from pygls.uris import to_fs_path

from codestral_ls.lsp import sync
from codestral_ls.lsp.clients import UNKNOWN, Profile
from codestral_ls.lsp.feedback import Feedback
from codestral_ls.lsp.protocol import Protocol
from codestral_ls.settings import Loaded, Settings, endpoints, is_known, load
from codestral_ls.settings.hosts import SANDBOX
from codestral_ls.settings.keys import KeyRing
from codestral_ls.settings.paths import cwd_or_none, state_dir, user_config_path
from codestral_ls.text.columns import PositionEncoding
from codestral_ls.text.document import Documents

if TYPE_CHECKING:
    from codestral_ls.api.client import Client
    from codestral_ls.api.errors import ApiError
    from codestral_ls.completion.engine import Engine
    from codestral_ls.completion.types import Outcome

logger = logging.getLogger(__name__)

SECTION = "codestral"

_CONNECTION = frozenset(
    {"api_key", "api_key_command", "base_url", "provider", "proxy", "ca_file", "verify", "allow_insecure"}
)
"""The settings that a connection to the API is made of. All others travel with each ask."""


class Session:
    """One connection. The environment is passed in; nothing here is global, so two sessions never meet."""

    def __init__(self, protocol: Protocol, environment: Mapping[str, str], *, log_level: str | None = None) -> None:
        self.protocol = protocol
        self.feedback = Feedback(protocol)
        self.documents = Documents()
        self.profile: Profile = UNKNOWN
        self._environment = environment
        self._log_level = log_level
        self._options: object = None
        """What the editor gave at the start."""
        self._section: dict[str, Any] = {}
        """What it says since: all of it each time, so what is no longer there no longer counts."""
        self._roots: list[Path] = []
        self._excluded: dict[str, str | None] = {}
        self._newest: dict[tuple[str, str], int | str] = {}
        self._pulls = False
        self._client: Client | None = None
        self._engine: Engine | None = None
        self._background: set[asyncio.Task[None]] = set()
        self.loaded: Loaded = self._load()
        self._former_keys: tuple[str, ...] = ()
        self.keys = self._key_ring()
        protocol.sync = self._sync
        self._set_log_level()

    # Settings

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        return self.loaded.settings

    def started(self, params: types.InitializeParams, profile: Profile, encoding: PositionEncoding) -> None:
        """The client has introduced itself."""
        self.profile = profile
        self.documents.encoding = encoding
        self._roots = _roots(params)
        workspace = params.capabilities.workspace
        self._pulls = bool(workspace and workspace.configuration)
        self._options = params.initialization_options
        self._new_settings()
        self._new_keys()

    async def ready(self) -> None:
        """The client takes requests: its settings are read, and a connection to the API is made ready."""
        await self._pull()
        # Importing the engine takes a noticeable time; in a thread, the first requests of the editor go on meanwhile.
        await asyncio.to_thread(_import_engine)
        self.report_problems()
        _ = self.engine
        if self._client is not None and self.settings.enabled:
            await self._client.warm()

    async def settings_changed(self, pushed: object) -> None:
        """The editor's settings have changed: `pushed` holds them, or nothing where the client wants to be asked."""
        if self._pulls:
            await self._pull()
        elif isinstance(pushed, dict) and (SECTION in pushed or any(is_known(name) for name in pushed)):
            # Some clients push the settings of every server; without a section, only known names are ours.
            self._take_section(pushed.get(SECTION, pushed))
        self.report_problems()

    def folders_changed(self, event: types.WorkspaceFoldersChangeEvent) -> None:
        """Workspace folders came or went."""
        first = self._roots[:1]
        gone = {_path(folder.uri) for folder in event.removed}
        self._roots = [root for root in self._roots if root not in gone]
        self._roots += [path for folder in event.added if (path := _path(folder.uri)) is not None]
        self._excluded.clear()
        if self._roots[:1] != first:
            # Its project file and its .env count from now on, and no others.
            self._new_keys()
            self._drop_engine()
            self._new_settings()
            self.report_problems()

    def report_problems(self) -> None:
        """Says what is wrong with the settings, each thing once."""
        problems = {f"settings:{problem.message}": problem for problem in self.loaded.problems}
        self.feedback.clear("settings:", keep=problems)
        for kind, problem in problems.items():
            if problem.level == "info":
                logger.info("%s", problem.message)
            else:
                self.feedback.say(kind, problem.level, problem.message)
        # Not the API's own question for it, which would import the HTTP client here and now.
        if endpoints(self.settings) == (SANDBOX,):
            from codestral_ls.api.sandbox import NOTICE

            self.feedback.say("sandbox", "info", NOTICE)
        else:
            self.feedback.clear("sandbox")

    async def _pull(self) -> None:
        if not self._pulls:
            return
        items = [types.ConfigurationItem(section=SECTION)]
        answer = await self.protocol.ask_client(types.WORKSPACE_CONFIGURATION, types.ConfigurationParams(items=items))
        if isinstance(answer, (list, tuple)) and answer:
            self._take_section(answer[0])

    def _take_section(self, section: object) -> None:
        """What the editor's settings hold in our section now. Null and Lua's empty table stand for nothing."""
        if not isinstance(section, dict) and section is not None and section != []:
            logger.warning("The editor's settings for %s are no table; they were left as they are", SECTION)
            return
        self._section = section if isinstance(section, dict) else {}
        self._new_settings()

    def _editor_settings(self) -> object:
        """The options of the start, and over them, name by name, what the editor's settings hold now."""
        options = self._options
        if isinstance(options, dict) and options.keys() == {SECTION}:
            options = options[SECTION]
        if not self._section:
            return options
        return {**options, **self._section} if isinstance(options, dict) else self._section

    def _new_settings(self) -> None:
        before = self.loaded
        self.loaded = self._load()
        self._excluded.clear()
        if (self.loaded.settings, self.loaded.refused) == (before.settings, before.refused):
            return
        self._set_log_level()
        # After a failure the engine rests, and any setting may be what mends it.
        if _connection(self.loaded) != _connection(before) or self.feedback.has_said("api:"):
            self._drop_engine()

    def _new_keys(self) -> None:
        self._former_keys = self.known_keys()
        self.keys = self._key_ring()

    def _key_ring(self) -> KeyRing:
        root = self._roots[0] if self._roots else None
        return KeyRing(self._load, environment=self._environment, workspace_root=root, cwd=cwd_or_none())

    def known_keys(self) -> tuple[str, ...]:
        """Every key seen so far, for masking."""
        return (*self._former_keys, *self.keys.known())

    def _drop_engine(self) -> None:
        self.feedback.clear("api:")
        client, engine, self._client, self._engine = self._client, self._engine, None, None
        if engine is not None and client is not None:
            self.later(_close(engine, client))

    def _set_log_level(self) -> None:
        logging.getLogger("codestral_ls").setLevel((self._log_level or self.settings.log_level).upper())

    def _load(self) -> Loaded:
        return load(
            environment=self._environment,
            user_config=user_config_path(),
            editor=self._editor_settings(),
            workspace_root=self._roots[0] if self._roots else None,
        )

    # Documents

    def _sync(self, params: object) -> None:
        sync.apply(self.documents, params)
        if isinstance(params, types.DidCloseTextDocumentParams):
            self._excluded.pop(params.text_document.uri, None)
            for feature in ("inline", "menu"):
                self._newest.pop((feature, params.text_document.uri), None)

    def excluded(self, uri: str) -> str | None:
        """Why this file never leaves the machine; None if it may. Found once a document, not once a key."""
        if uri not in self._excluded:
            from codestral_ls.context.privacy import excluded, excluded_file

            path, patterns = _path(uri), self.settings.exclude
            self._excluded[uri] = (
                excluded(_uri_path(uri), patterns) if path is None else excluded_file(path, self._roots, patterns)
            )
        return self._excluded[uri]

    # Completions

    @property
    def engine(self) -> Engine:
        """The engine for the settings in force; made when it is first needed."""
        if self._engine is None:
            from codestral_ls.api.access import open_client
            from codestral_ls.completion.engine import Engine

            self._client = open_client(
                self.settings, self.keys, self._environment, state_dir(), refused=self.loaded.refused
            )
            self._engine = Engine(self._client, time.monotonic, _random())
        return self._engine

    def supersede(self, feature: str, uri: str) -> None:
        """A newer request for this document has come: the one before it is answered now, with -32800."""
        newest = self.protocol.msg_id
        older = self._newest.get((feature, uri))
        if older is not None and older != newest:
            self.protocol.cancel(older)
        if newest is not None:
            self._newest[feature, uri] = newest

    def tell(self, outcome: Outcome) -> None:
        """Says what the user must know of an outcome: a failure once per kind, until it is over."""
        if outcome.error is not None:
            self._tell_error(outcome.error)
        elif outcome.total_ms is not None:
            self.feedback.clear("api:")
        logger.debug("%s", outcome_line(outcome))
        self.feedback.trace(outcome_line(outcome))

    def _tell_error(self, error: ApiError) -> None:
        if error.kind == "no-key" and self.keys.problems:
            # A source that failed is what is to be mended; "there is no key" would hide it.
            for problem in self.keys.problems:
                self.feedback.say(f"api:key:{problem.message}", problem.level, problem.message)
            return
        self.feedback.say(f"api:{error.kind}", "warning" if error.transient else "error", str(error))

    # Life

    def later(self, work: Any) -> None:
        """Runs a coroutine beside everything else; a failure is logged."""
        task = asyncio.ensure_future(work)
        self._background.add(task)
        task.add_done_callback(self._background_done)

    def _background_done(self, task: asyncio.Task[None]) -> None:
        self._background.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("Background work failed", exc_info=error)

    async def aclose(self) -> None:
        """Ends everything that is under way."""
        for task in list(self._background):
            task.cancel()
        if self._engine is not None and self._client is not None:
            await _close(self._engine, self._client)


def _connection(loaded: Loaded) -> tuple[object, ...]:
    """What a connection depends on: the values, and which of them were refused, for then nothing may be sent."""
    values = tuple(getattr(loaded.settings, name) for name in sorted(_CONNECTION))
    return (*values, loaded.refused & _CONNECTION)


def outcome_line(outcome: Outcome) -> str:
    """An outcome in one line, without any text of the user."""
    parts = [f"suggestions: {len(outcome.suggestions)}"]
    parts += [suggestion.origin.value for suggestion in outcome.suggestions[:1]]
    if outcome.why:
        parts.append(outcome.why)
    if outcome.first_text_ms is not None:
        parts.append(f"first text after {outcome.first_text_ms:.0f} ms")
    if outcome.usage is not None:
        parts.append(f"{outcome.usage.prompt_tokens} + {outcome.usage.completion_tokens} tokens")
    return ", ".join(parts)


async def _close(engine: Engine, client: Client) -> None:
    await engine.aclose()
    await client.aclose()


def _import_engine() -> None:
    import codestral_ls.api.access
    import codestral_ls.api.transport
    import codestral_ls.completion.engine  # noqa: F401


def _random() -> Any:
    import random

    return random.random


def _roots(params: types.InitializeParams) -> list[Path]:
    uris = [folder.uri for folder in params.workspace_folders or ()]
    if not uris and params.root_uri:
        uris = [params.root_uri]
    roots = [path for uri in uris if (path := _path(uri)) is not None]
    if not roots and params.root_path:
        roots = [Path(params.root_path)]
    return roots


def _uri_path(uri: str) -> str:
    try:
        return urlsplit(uri).path
    except ValueError:
        return uri  # no URI at all; whatever it is, it is what there is to judge the document by


def _path(uri: str) -> Path | None:
    if not uri.startswith("file:"):
        return None
    try:
        path = to_fs_path(uri)
    except ValueError:
        return None
    return Path(path) if path else None
