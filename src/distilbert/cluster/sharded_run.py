"""A task over files by the million rows: exactly once, whatever dies meanwhile, with the answers of one process."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from ..core.errors import DataError, DistilBertError, Interrupted, UsageError
from .answer_settings import AnswerSettings
from .manifest import Manifest, Shard
from .run_progress import RunProgress
from .shard_outputs import OnRecord, OutputFolder, ShardRecord
from .worker_supervision import OnWorkerEvent

SHARD_ROWS = 20_000
MOST_LISTED = 20  # differences that a message names


class Workers(Protocol):
    """What answers shards: processes of this machine, or actors on Ray."""

    def run(
        self, manifest: Manifest, output: str, shards: Sequence[Shard], on_record: OnRecord, on_event: OnWorkerEvent
    ) -> None:
        """Answer shards; see :meth:`.local_workers.LocalWorkers.run`."""


def run_sharded(
    settings: AnswerSettings,
    names: Sequence[str],
    output: str,
    workers: Workers,
    *,
    shard_rows: int = SHARD_ROWS,
    resume: bool = False,
    overwrite: bool = False,
    shown: str = "",
    notice: Callable[[str], None] = lambda message: None,
) -> dict[str, Any]:
    """Answer all rows of some files into a folder.

    The folder gets ``shard-00000.jsonl`` and so on, in the order of the rows: put together, the shards of a file are,
    byte for byte, what ``distilbert run`` writes for it. ``rejects.jsonl`` names the rows without an answer,
    ``_summary.json`` says how long it took, and ``_SUCCESS`` appears last.

    Args:
        settings: how rows are read, answered and written.
        names: of the files, paths or addresses.
        output: path or address of the folder.
        workers: who answers.
        shard_rows: the least rows of a shard; the last one of a file may have fewer.
        resume: go on with the run that is in the folder.
        overwrite: replace the run that is in the folder.
        shown: see :class:`.run_progress.RunProgress`.
        notice: receives lines about what people need to know.

    Returns:
        The summary.

    Raises:
        UsageError: the folder holds something else; or the run to go on with was another one, and how.
        DataError: a file cannot be read, or has changed meanwhile; or an answer cannot be written.
        LostProcessError: processes die for another reason than a single row.
        Interrupted: Ctrl-C; what is done is kept.
    """
    if shard_rows < 1:
        raise UsageError(f"--shard-rows must be at least 1, got {shard_rows}.")
    folder = OutputFolder(output, settings.shard_format)
    folder.check(overwrite=overwrite, resume=resume)
    started = time.monotonic()
    with folder.locked():
        manifest = None
        if resume and folder.manifest.exists():
            manifest = Manifest.load(folder.manifest)
            if changes := manifest.differences(settings, shard_rows, names):
                listed = "\n".join(f"  {change}" for change in changes[:MOST_LISTED])
                more = f"\n  and {len(changes) - MOST_LISTED} more" if len(changes) > MOST_LISTED else ""
                raise UsageError(
                    f"{output} holds another run, so it cannot be gone on with:\n{listed}{more}\n"
                    "Resume with the settings and files of then, or name another folder."
                )
            folder.remove_temporary()
        else:
            if resume:
                notice(f"{output} holds no run to go on with: this one starts at the first row")
            folder.clear()
            manifest = Manifest.plan(settings, names, shard_rows)
            manifest.save(folder.manifest)
        records = folder.done(shard.number for shard in manifest.shards) if resume else {}
        # Long shards first, so that no worker begins one when all others have nothing to do any more.
        waiting = sorted(
            (shard for shard in manifest.shards if shard.number not in records), key=lambda shard: -shard.rows
        )
        total = sum(shard.rows for shard in manifest.shards)
        if records:
            notice(f"{len(records):,} of {len(manifest.shards):,} shards are done already")
        with RunProgress(total, len(manifest.shards), shown) as progress:
            progress.skip(total - sum(shard.rows for shard in waiting), len(records))

            def keep(record: ShardRecord) -> None:
                records[record.number] = record
                progress.finish_shard(record)

            try:
                if waiting:
                    workers.run(manifest, output, waiting, keep, progress.take)
            except KeyboardInterrupt:
                raise Interrupted(_with_what_is_done("interrupted", records, manifest)) from None
            except DistilBertError as error:
                error.args = (_with_what_is_done(str(error), records, manifest), *error.args[1:])
                raise
        if changed := [file.name for file in manifest.files if waiting and file.has_changed()]:
            raise DataError(
                f"{changed[0]} has changed since its shards were fixed, so they may hold rows of before and of after. "
                "Start again with --overwrite."
            )
        folder.remove_temporary()
        ordered = [records[shard.number] for shard in manifest.shards]
        summary = summarize(manifest, ordered, time.monotonic() - started)
        folder.finish(ordered, summary)
    return summary


def summarize(manifest: Manifest, records: Sequence[ShardRecord], seconds: float) -> dict[str, Any]:
    """Return what ``_summary.json`` holds.

    Args:
        manifest: of the run.
        records: of all its shards.
        seconds: since the run began, or was resumed.
    """
    by_worker: dict[str, dict[str, Any]] = {}
    for record in records:
        worker = by_worker.setdefault(
            record.worker, {"shards": 0, "rows": 0, "tokens": 0, "seconds": 0.0, "restarts": 0}
        )
        worker["shards"] += 1
        worker["rows"] += record.rows
        worker["tokens"] += record.tokens
        worker["seconds"] = round(worker["seconds"] + record.seconds, 3)
        worker["restarts"] += record.restarts
    for worker in by_worker.values():
        worker["tokens_per_second"] = round(worker["tokens"] / max(worker["seconds"], 1e-9), 1)
    return {
        "rows": sum(record.rows for record in records),
        "answered": sum(record.answered for record in records),
        "rejects": sum(len(record.rejects) for record in records),
        "results": sum(record.results for record in records),
        "files": len(manifest.files),
        "shards": len(records),
        "seconds": round(seconds, 3),
        "tokens": sum(record.tokens for record in records),
        "workers": dict(sorted(by_worker.items())),
    }


def _with_what_is_done(message: str, records: Mapping[int, ShardRecord], manifest: Manifest) -> str:
    message += "" if message.endswith((".", ")", "!")) else "."
    return (
        f"{message} {len(records):,} of {len(manifest.shards):,} shards are done and kept: "
        "the same command with --resume goes on from there."
    )
