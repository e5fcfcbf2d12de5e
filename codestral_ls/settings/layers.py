"""`load()`: from the layers that a user, an editor and a repository wrote to the settings in force."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from codestral_ls.settings import files, hosts, kinds
from codestral_ls.settings.kinds import WrongValue
from codestral_ls.settings.model import Level, Loaded, Problem, Settings
from codestral_ls.settings.table import LATER, SETTINGS, Later, Setting

PROJECT_FILE = ".codestral.toml"
ENVIRONMENT_PREFIX = "CODESTRAL_LS_"
EDITOR_SECTION = "codestral"
DEFAULT = "default"

# What the editor's own client keeps in our section of its settings: `codestral.trace.server` in VS Code, and the
# name that an editor which sends no clientInfo gives itself.
_EDITOR_OWN = frozenset({"trace", "client"})
_MOST_PROBLEMS = 20


def load(
    *,
    environment: Mapping[str, str],
    user_config: Path | None,
    editor: object,
    workspace_root: Path | None,
) -> Loaded:
    """Settings from all layers, lowest first: defaults, user file, environment, editor, project file.

    `editor` is what came as `initializationOptions` or as the section `codestral` of the editor's settings. Reads
    the two files and nothing else. Never raises for bad input: what is wrong becomes a problem, and the value
    below it applies.
    """
    layers = [
        _file_layer("user config", user_config, project=False),
        *_environment_layers(environment),
        _editor_layer(editor),
        _file_layer("project file", workspace_root and workspace_root / PROJECT_FILE, project=True),
    ]
    for layer in layers:
        layer.read()
    return _fold(layers)


@dataclass
class _Layer:
    """One layer while it is read. `label` says where it is; `values` holds what was usable."""

    label: str
    raw: Mapping[object, object] = field(default_factory=dict)
    project: bool = False
    camel_case: bool = False
    own: frozenset[str] = frozenset()
    values: dict[str, Any] = field(default_factory=dict)
    languages: dict[str, dict[str, Any]] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)
    problems: list[Problem] = field(default_factory=list)

    def read(self) -> None:
        for setting, value in self._entries(self.raw, "", per_language=False):
            self.values[setting.name] = value
        for language, table in self.values.pop("languages", {}).items():
            self._read_language(str(language), table)

    def _read_language(self, language: str, table: object) -> None:
        path = f"languages.{_shown_name(language)}"
        if table is None:
            return
        if not kinds.is_table(table):
            self.wrong("languages", path, "a table", table)
            return
        for setting, value in self._entries(kinds.as_table(table), f"{path}.", per_language=True):
            self.languages.setdefault(language, {})[setting.name] = value

    def _entries(
        self, raw: Mapping[object, object], prefix: str, *, per_language: bool
    ) -> Iterator[tuple[Setting, Any]]:
        """The usable settings of a table, at the top or of one language."""
        for written, value in raw.items():
            name = kinds.snake_case(str(written)) if self.camel_case else str(written)
            if name in self.own and not prefix:
                continue
            row = SETTINGS.get(name) or LATER.get(name)
            if row is None:
                self._unknown(prefix, str(written))
            elif value is None or (isinstance(row, Setting) and row.blank_is_unset and value == ""):
                continue
            elif self.project and not row.project_may_set:
                self._untrusted(prefix + name)
            elif per_language and not row.per_language:
                self.say("error", f"{prefix}{name}: applies to all languages, so it stands outside of `languages`")
            else:
                yield from self._value(row, prefix, value)

    def _value(self, row: Setting | Later, prefix: str, raw: object) -> Iterator[tuple[Setting, Any]]:
        path = prefix + row.name
        secret = isinstance(row, Setting) and row.secret

        def refuse(place: str, expected: str, found: object) -> None:
            self.wrong(row.name, path + place, expected, found, secret=secret)

        try:
            value = row.read(raw, refuse)
        except WrongValue as error:
            self.wrong(row.name, path, str(error), raw, secret=secret)
            return
        if isinstance(row, Later):
            if not row.quiet:
                self.say("info", f"{path}: known but not yet effective in this version")
            return
        if row.name == "exclude" and self.project:
            value = self._adding_only(value)
        yield row, value

    def _adding_only(self, globs: tuple[str, ...]) -> tuple[str, ...]:
        """In gitignore syntax `!` takes an exclusion back, and that is not for the repository to do."""
        if any(glob.lstrip().startswith("!") for glob in globs):
            self.say("error", "exclude: a repository may add globs, not take any back with `!`")
        return tuple(glob for glob in globs if not glob.lstrip().startswith("!"))

    def _untrusted(self, path: str) -> None:
        self.say("error", f"{path}: a repository may not set this; move it to your own configuration")

    def _unknown(self, prefix: str, written: str) -> None:
        if len(self.problems) >= _MOST_PROBLEMS:
            # Not worth a search for the nearest name, of which a hostile file could ask thousands.
            self.say("warning", "unknown setting")
            return
        from difflib import get_close_matches

        rows: tuple[Setting | Later, ...] = (*SETTINGS.values(), *LATER.values())
        known = [row.name for row in rows if not prefix or row.per_language]
        nearest = get_close_matches(kinds.snake_case(written[:60]), known, n=1)
        hint = f"; did you mean {nearest[0]}?" if nearest else ""
        self.say("warning", f"{prefix}{_shown_name(written)}: unknown setting{hint}")

    def wrong(self, name: str, path: str, expected: str, found: object, *, secret: bool = False) -> None:
        self.refused.add(name)
        got = "" if secret else f", got {_shown_value(found)}"
        self.say("error", f"{path}: expected {expected}{got}")

    def say(self, level: Level, message: str) -> None:
        self.problems.append(Problem(level, f"{self.label}: {message}"))

    def reported(self) -> list[Problem]:
        more = len(self.problems) - _MOST_PROBLEMS
        if more <= 0:
            return self.problems
        rest = Problem("warning", f"{self.label}: {more} more problems of this kind")
        # The errors, among them what a repository may not set, are not to be crowded out by warnings.
        ranked = sorted(self.problems, key=lambda problem: problem.level != "error")
        return [*ranked[:_MOST_PROBLEMS], rest]


def _file_layer(what: str, path: Path | None, *, project: bool) -> _Layer:
    if path is None:
        return _Layer(what, project=project)
    layer = _Layer(f"{what} {path}", project=project)
    try:
        layer.raw, remark = files.read_toml(path)
    except files.Unreadable as error:
        layer.problems.append(Problem("error", f"{layer.label} {error}"))
    else:
        if remark:
            layer.problems.append(Problem("warning", f"{layer.label} {remark}"))
    return layer


def _environment_layers(environment: Mapping[str, str]) -> Iterator[_Layer]:
    """One layer per variable, so that messages and sources name the variable."""
    for variable, text in sorted(environment.items()):
        name = variable[len(ENVIRONMENT_PREFIX) :]
        if variable.startswith(ENVIRONMENT_PREFIX) and name and text.strip():
            yield _Layer(f"environment variable {variable}", {name.lower(): _environment_value(name, text)})


def _environment_value(name: str, text: str) -> object:
    """The text read as a TOML value, or as it stands if it is none: a bare word or a URL."""
    if name == "API_KEY":
        # Text that we have no grammar for: a key of digits is no number.
        return text
    try:
        table = files.parse_toml(f"value = {text.strip()}")
    except files.Unreadable:
        return text.strip()
    return table["value"] if table.keys() == {"value"} else text.strip()


def _editor_layer(editor: object) -> _Layer:
    label = "editor settings"
    if editor is None:
        return _Layer(label)
    if not kinds.is_table(editor):
        kind = "a list" if kinds.is_list(editor) else "text" if isinstance(editor, str) else "a plain value"
        return _Layer(label, problems=[Problem("error", f"{label}: expected a table of settings, got {kind}")])
    raw = kinds.as_table(editor)
    # Some clients send all settings of the section under its name.
    if raw.keys() == {EDITOR_SECTION}:
        inner = raw[EDITOR_SECTION]
        return _editor_layer(inner)
    return _Layer(label, raw, camel_case=True, own=_EDITOR_OWN)


def _fold(layers: list[_Layer]) -> Loaded:
    values: dict[str, Any] = {name: setting.default for name, setting in SETTINGS.items()}
    languages: dict[str, dict[str, Any]] = {}
    sources: dict[str, str] = dict.fromkeys(SETTINGS, DEFAULT)
    insecure = [layer.values["allow_insecure"] for layer in layers if "allow_insecure" in layer.values]
    if not (insecure and insecure[-1]):
        _drop_exposed(layers)
    for layer in layers:
        for name, value in layer.values.items():
            if name == "exclude" and layer.project:
                values[name] = (*values[name], *(glob for glob in value if glob not in values[name]))
                adds = sources[name] != DEFAULT
                sources[name] = f"{sources[name]} and {layer.label}" if adds else layer.label
                continue
            values[name] = SETTINGS[name].merge(values[name], value)
            sources[name] = layer.label
        for language, overrides in layer.languages.items():
            languages.setdefault(language, {}).update(overrides)
            sources["languages"] = layer.label
    greedy = _settle_greedy(values, languages, sources)
    values["languages"] = MappingProxyType({name: MappingProxyType(given) for name, given in languages.items()})
    problems = [problem for layer in layers for problem in layer.reported()]
    return Loaded(
        settings=Settings(**values),
        sources=MappingProxyType(sources),
        problems=(*problems, *greedy),
        refused=frozenset(name for layer in layers for name in layer.refused),
    )


def _drop_exposed(layers: list[_Layer]) -> None:
    for layer in layers:
        if hosts.is_exposed(layer.values.get("base_url", "")):
            del layer.values["base_url"]
            expected = "https, for plain http to another machine shows your key and code to the network"
            layer.wrong("base_url", "base_url", f"{expected} (or set allow_insecure = true)", None, secret=True)


def _settle_greedy(
    values: dict[str, Any], languages: dict[str, dict[str, Any]], sources: dict[str, str]
) -> list[Problem]:
    """Temperature 0 allows no top_p but 1: the API answers 400, "top_p must be 1 when using greedy sampling"."""
    problems: list[Problem] = []
    remedy = "temperature 0 allows no top_p but 1, so top_p is left out; give a temperature above 0 to use it"
    if values["temperature"] == 0 and values["top_p"] not in (None, 1):
        where = f"temperature from {sources['temperature']}, top_p from {sources['top_p']}"
        values["top_p"] = None
        sources["top_p"] = DEFAULT
        problems.append(Problem("error", f"{remedy} ({where})"))
    for language, given in languages.items():
        temperature = given.get("temperature", values["temperature"])
        if temperature == 0 and given.get("top_p", values["top_p"]) not in (None, 1):
            given["top_p"] = None
            problems.append(Problem("error", f"languages.{_shown_name(language)}: {remedy}"))
    return problems


def _shown_name(name: str) -> str:
    """A key as a message may show it: short and on one line, whatever a file put there."""
    short = name if len(name) <= 60 else f"{name[:60]}…"
    return short if short.isprintable() else ascii(short)


def _shown_value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if kinds.is_list(value):
        return "a list"
    if kinds.is_table(value):
        return "a table"
    if isinstance(value, str):
        return f'"{_shown_name(value)}"'
    if isinstance(value, (int, float)):
        # An integer of thousands of digits cannot be printed at all (ValueError).
        return f"{value:g}" if isinstance(value, float) or abs(value) < 1e15 else "a very large number"
    return f"a {type(value).__name__}"
