"""Loading settings from what a test gives, and from nothing else."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from codestral_ls.settings import Loaded, load

Load = Callable[..., Loaded]


@pytest.fixture
def load_layers(tmp_path: Path) -> Load:
    """`load_layers(user="…TOML…", environment={…}, editor={…}, project="…TOML…")`, every layer optional."""

    def run(
        *,
        user: str | bytes | None = None,
        environment: Mapping[str, str] | None = None,
        editor: object = None,
        project: str | bytes | None = None,
    ) -> Loaded:
        root = tmp_path / "workspace"
        root.mkdir(exist_ok=True)
        for path, content in ((tmp_path / "config.toml", user), (root / ".codestral.toml", project)):
            if content is not None:
                path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return load(
            environment=environment or {}, user_config=tmp_path / "config.toml", editor=editor, workspace_root=root
        )

    return run


@pytest.fixture(autouse=True)
def _no_system_keyring(monkeypatch: pytest.MonkeyPatch) -> None:
    """The keyring of the machine that runs the tests is no business of theirs."""
    monkeypatch.setitem(sys.modules, "keyring", None)
