"""`codestral-ls config`: the settings in force, each with its source."""

from __future__ import annotations

from codestral_ls.cli.workspace import here, open_workspace, say_problems
from codestral_ls.settings.describe import describe


def run() -> int:
    """Prints the table; 1 if a setting is wrong or a source of keys failed."""
    workspace = open_workspace(here())
    rows = describe(workspace.loaded, workspace.keys.reload())
    width = max(len(name) for name, _, _ in rows)
    value_width = min(48, max(len(value) for _, value, _ in rows))
    for name, value, source in rows:
        print(f"{name:<{width}}  {value:<{value_width}}  {source}")
    problems = (*workspace.loaded.problems, *workspace.keys.problems)
    say_problems(problems)
    return 1 if any(problem.level == "error" for problem in problems) else 0
