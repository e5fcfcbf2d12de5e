"""The one way for a command to end badly."""

from __future__ import annotations


class Failure(Exception):
    """One line for stderr. `code` is the process's exit code: 1 for what failed, 2 for wrong usage."""

    def __init__(self, message: str, *, code: int = 1) -> None:
        super().__init__(" ".join(message.split()))
        self.code = code
