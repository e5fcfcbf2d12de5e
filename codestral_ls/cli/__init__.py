"""The command line. Errors are one line on stderr; exit codes: 0 done, 1 the thing failed, 2 wrong usage."""

from __future__ import annotations

import argparse
import errno
import io
import logging
import os
import sys
from collections.abc import Sequence
from typing import IO, NoReturn

from codestral_ls import __version__
from codestral_ls.cli.failure import Failure

_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_FULL = frozenset({errno.ENOSPC, errno.EFBIG, errno.EIO})


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"codestral-ls: {message}; see codestral-ls -h\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; the process's exit code. Raises SystemExit for wrong usage, help and version."""
    argv = list(sys.argv[1:] if arguments is None else arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # What a terminal or a pipe cannot show is no reason to show nothing.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        try:
            return _run(argv)
        finally:
            if sys.stdout is not None:
                # Here, where a failure can still be told; at the end of the process Python would.
                sys.stdout.flush()
    except Failure as failure:
        print(f"codestral-ls: {failure}", file=sys.stderr)
        return failure.code
    except BrokenPipeError:
        # The reader of our output has what it wanted (`| head`).
        _abandon_output()
        return 1
    except OSError as error:
        if error.errno not in _FULL:
            raise
        _abandon_output()
        print(f"codestral-ls: cannot write the output: {error.strerror}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _run(argv: list[str]) -> int:
    # `codestral-ls` alone, or with options only, is the server: that is what editors start.
    if not argv or (argv[0].startswith("-") and argv[0] not in ("-h", "--help", "--version")):
        argv = ["serve", *argv]
    options = _build().parse_args(argv)
    return int(options.run(options))


def _abandon_output() -> None:
    """What is still in the buffer goes nowhere, so that the end of the process has nothing to write."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _build() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="codestral-ls",
        description="A language server that completes code with Codestral. Editors start it; try `codestral-ls demo`.",
    )
    parser.add_argument("--version", action="version", version=f"codestral-ls {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=_Parser)

    serve = commands.add_parser("serve", help="the language server on stdio (also without any command)")
    serve.add_argument("--stdio", action="store_true", help="serve on stdin and stdout, as without it")
    serve.add_argument("--tcp", metavar="HOST:PORT", help="serve one client on a TCP port instead")
    serve.add_argument("--allow-remote", action="store_true", help="let --tcp listen on more than the loopback")
    serve.add_argument("--log-file", metavar="FILE", help="log there instead of to stderr")
    serve.add_argument("--log-level", choices=("debug", "info", "warning", "error"), help="in place of the setting")
    serve.add_argument("--trace-file", metavar="FILE", help="write every message there, keys masked")
    serve.set_defaults(run=_serve)

    complete = commands.add_parser("complete", help="print one completion")
    complete.add_argument("place", metavar="FILE:LINE:COLUMN", help="counted from 1, the column in characters")
    complete.add_argument("--json", action="store_true", help="with the prompt, timing and tokens")
    complete.set_defaults(run=_complete)

    demo = commands.add_parser("demo", help="watch a simulated person type with completions")
    demo.add_argument("place", metavar="FILE:LINE", nargs="?", help="what to type; without it, the bundled sample")
    demo.set_defaults(run=_demo)

    doctor = commands.add_parser("doctor", help="check the installation, and say how to mend it")
    doctor.add_argument("--json", action="store_true")
    doctor.set_defaults(run=_doctor)

    config = commands.add_parser("config", help="the settings in force, and where each comes from")
    config.set_defaults(run=_config)
    return parser


def _serve(options: argparse.Namespace) -> int:
    from codestral_ls.lsp.server import run_stdio, run_tcp

    logs = _open_logs(options.log_file)
    trace = _open_private(options.trace_file) if options.trace_file else None
    if options.tcp:
        host, port = _address(options.tcp)
        if host not in _LOOPBACK and not options.allow_remote:
            raise Failure(f"{host} is not this machine only: add --allow-remote if others may connect", code=2)
        try:
            return run_tcp(os.environ, logs, host, port, log_level=options.log_level, trace=trace)
        except OSError as error:
            raise Failure(f"cannot listen on {options.tcp}: {error.strerror or error}") from None
    if sys.stdin is None or sys.stdout is None:
        raise Failure("serve needs stdin and stdout, which an editor gives it; or use --tcp")
    if sys.stdin.isatty():
        print(
            "codestral-ls: waiting for an editor on stdin; try `codestral-ls demo` or `codestral-ls -h`",
            file=sys.stderr,
        )
    return run_stdio(os.environ, logs, log_level=options.log_level, trace=trace)


def _complete(options: argparse.Namespace) -> int:
    from codestral_ls.cli import complete

    return complete.run(options.place, as_json=options.json)


def _demo(options: argparse.Namespace) -> int:
    from codestral_ls.cli import demo

    return demo.run(options.place)


def _doctor(options: argparse.Namespace) -> int:
    from codestral_ls.cli import doctor

    return doctor.run(as_json=options.json)


def _config(_options: argparse.Namespace) -> int:
    from codestral_ls.cli import config

    return config.run()


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    host = host.strip("[]") or "127.0.0.1"
    if not colon or not port.isdecimal() or len(port) > 5 or int(port) > 65535:
        raise Failure(f"--tcp takes HOST:PORT, not {text}", code=2)
    return host, int(port)


def _open_logs(path: str | None) -> logging.Handler:
    handler = logging.StreamHandler(_open_private(path)) if path else logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.getLogger().addHandler(handler)
    # pygls logs whole messages, which are the user's source code.
    pygls = logging.getLogger("pygls")
    pygls.setLevel(logging.CRITICAL)
    pygls.propagate = False
    return handler


def _open_private(path: str) -> IO[str]:
    from pathlib import Path

    from codestral_ls.settings.paths import open_private

    try:
        return open_private(Path(path), "a")
    except OSError as error:
        raise Failure(f"cannot write {path}: {error.strerror or error}") from None
