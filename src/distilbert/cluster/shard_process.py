"""The process of a worker: it loads the model once, and answers the shards that it is told to.

It reads JSON lines from standard input and writes JSON lines to the descriptor that its first argument names. When
standard input ends, its owner is gone, and the process ends at once, in the middle of a shard: another one will answer
that again.
"""

from __future__ import annotations

import errno
import json
import os
import queue
import sys
import threading
import traceback
from typing import Any

from ..core.errors import DistilBertError
from .answer_settings import AnswerSettings
from .shard_answering import ShardAnswerer, ShardTry
from .shard_outputs import OutputFolder

# The disk or a quota is full, a file is too large, or the device failed.
DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


def main(descriptor: int) -> None:
    """Serve until standard input ends.

    Args:
        descriptor: where to write what is reported.
    """
    commands: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    threading.Thread(target=_read_commands, args=(commands,), daemon=True).start()
    with os.fdopen(descriptor, "w", encoding="utf-8") as events:

        def report(event: dict[str, Any]) -> None:
            events.write(json.dumps(event) + "\n")
            events.flush()

        start = commands.get()
        try:
            settings = AnswerSettings.from_dict(start["settings"])
            task = settings.load(start["threads"])
            answerer = ShardAnswerer(
                settings, OutputFolder(start["output"], settings.shard_format), task, start["worker"], report
            )
        except Exception as error:
            report(_failure(error))
            return
        report({"ready": True})
        while True:
            attempt = ShardTry.from_dict(commands.get())
            try:
                record = answerer.answer(attempt)
            except Exception as error:
                report(_failure(error))
            else:
                report({"record": record.__dict__})


def _read_commands(commands: queue.SimpleQueue[dict[str, Any]]) -> None:
    for line in sys.stdin:
        commands.put(json.loads(line))
    os._exit(0)


def _failure(error: Exception) -> dict[str, Any]:
    """Return what the owner is told about an error; one of our own mistakes also shows where it was."""
    if not isinstance(error, (DistilBertError, OSError)):
        traceback.print_exc()
    message = str(error)
    if isinstance(error, OSError) and error.errno in DISK_ERRORS:
        message = f"{error.filename or 'the output'}: {error.strerror}. Make room."
    return {"failed": message or type(error).__name__}


if __name__ == "__main__":
    main(int(sys.argv[1]))
