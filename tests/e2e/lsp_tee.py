"""lsp_tee.py TRACE -- COMMAND ARGS...   Runs a language server and passes its stdio through, writing each message to
TRACE as a line of JSON: seconds since start, direction (">" to the server), the message."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from typing import BinaryIO


def main() -> None:
    trace_path, separator, *command = sys.argv[1:]
    assert separator == "--", __doc__
    start, lock = time.monotonic(), threading.Lock()
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
    assert server.stdin is not None
    assert server.stdout is not None

    with open(trace_path, "a", encoding="utf-8", buffering=1) as trace:

        def pass_on(source: BinaryIO, target: BinaryIO, direction: str) -> None:
            reader = os.fdopen(os.dup(source.fileno()), "rb")
            try:
                while message := read_message(reader):
                    head, body = message
                    entry = {"t": round(time.monotonic() - start, 4), "way": direction, "message": json.loads(body)}
                    with lock:
                        trace.write(json.dumps(entry) + "\n")
                    target.write(head + body)
                    target.flush()
            except OSError:
                pass  # one side has gone; the other learns of it below
            target.close()

        threading.Thread(target=pass_on, args=(sys.stdin.buffer, server.stdin, ">"), daemon=True).start()
        back = threading.Thread(target=pass_on, args=(server.stdout, sys.stdout.buffer, "<"))
        back.start()
        code = server.wait()
        back.join()
        os._exit(code)  # the other thread may still wait for the editor


def read_message(reader: BinaryIO) -> tuple[bytes, bytes] | None:
    """One framed message as head and body; None at the end of the stream."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        line = reader.readline()
        if not line:
            return None
        head += line
    fields = dict(line.lower().split(b":", 1) for line in head.strip().split(b"\r\n"))
    body = reader.read(int(fields[b"content-length"]))
    return head, body


if __name__ == "__main__":
    main()
