"""Runs the command in several processes that share the import of PyTorch: ``python -m ... NUMBER ARGUMENTS``.

It sets the variables that PyTorch's launcher sets, and forks the processes once everything is imported. Reports have
blank charts. So a test with two processes takes half the time that it takes with the launcher.
"""

from __future__ import annotations

import os
import socket
import sys

import distilbert.training.distillation
import distilbert.training.finetuning.finetuner  # noqa: F401
from distilbert.cli import main
from distilbert.training.reports import charts


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port: int = server.getsockname()[1]
    return port


def fork_workers(number: int, arguments: list[str]) -> int:
    """Run the command with ``arguments`` in ``number`` processes, and return the largest of their exit codes."""
    charts.draw_svg = lambda *arguments: "<svg></svg>"
    port = free_port()
    workers = []
    for rank in range(number):
        worker = os.fork()
        if not worker:
            os.environ |= {
                "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(number), "LOCAL_WORLD_SIZE": str(number),
                "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
            }  # fmt: skip
            sys.argv = ["distilbert", *arguments]
            main(arguments)
        workers.append(worker)
    return max(os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1]) for worker in workers)


if __name__ == "__main__":
    sys.exit(fork_workers(int(sys.argv[1]), sys.argv[2:]))
