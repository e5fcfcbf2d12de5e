"""Folders and files outside the workspace: where the platform wants them, for the user alone."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest

from codestral_ls.settings import paths

posix = pytest.mark.skipif(os.name != "posix", reason="modes of POSIX")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.skipif(sys.platform != "linux", reason="the XDG folders")
def test_folders_are_those_of_the_platform(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for kind in ("CONFIG", "STATE", "CACHE"):
        monkeypatch.setenv(f"XDG_{kind}_HOME", str(tmp_path / kind))
    assert paths.user_config_path() == tmp_path / "CONFIG" / "codestral-ls" / "config.toml"
    assert paths.state_dir() == tmp_path / "STATE" / "codestral-ls"
    assert paths.cache_dir() == tmp_path / "CACHE" / "codestral-ls"
    assert list(tmp_path.iterdir()) == []


@posix
@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_what_is_created_is_private_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    file = tmp_path / "state" / "codestral-ls" / "server.log"
    before = os.umask(umask)
    try:
        with paths.open_private(file) as opened:
            opened.write("é\n")
    finally:
        os.umask(before)
    assert mode(file) == 0o600
    assert mode(file.parent) == mode(file.parent.parent) == 0o700
    assert file.read_bytes() == "é\n".encode()


@posix
def test_a_folder_that_is_there_keeps_its_mode(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    paths.ensure_private(tmp_path / "a")
    assert mode(tmp_path) == 0o755
    assert mode(paths.ensure_private(tmp_path / "a")) == 0o700


@posix
def test_a_file_that_others_could_read_is_narrowed_and_kept(tmp_path: Path) -> None:
    file = tmp_path / "ledger"
    file.write_bytes(b"old ")
    file.chmod(0o644)
    with paths.open_private(file, "ab") as opened:
        opened.write(b"new")
    assert mode(file) == 0o600
    assert file.read_bytes() == b"old new"
