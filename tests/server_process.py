"""``distilbert serve`` in a process of its own."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def serving(folder: Path, *arguments: str) -> Iterator[str]:
    """Serve models of a folder on a free port, and yield the address."""
    command = [sys.executable, "-m", "distilbert", "serve", "--port", "0", "--threads", "1", *arguments]
    with subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        said = ""
        while not (match := re.search(r"http://[\d.]+:[1-9]\d*", said)):
            line = server.stderr.readline()
            assert line, said
            said += line
        threading.Thread(target=server.stderr.read, daemon=True).start()  # so that the pipe never fills
        try:
            yield match[0]
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(30)
