"""codestral-ls: a language server that completes code with Codestral."""

__version__ = "0.1.0"
