"""Tasks and training beyond one process: files in shards, on processes of this machine or on Ray.

A sharded run, in this order:

1. ``manifest`` fixes the shards of all files before the first answer; ``answer_settings`` says what the answers depend
   on besides the files.
2. ``sharded_run.run_sharded`` hands shards to workers and collects what they report (``run_progress`` shows it).
   ``local_workers`` has threads of this process as workers, ``ray_workers`` actors on Ray.
3. A worker is a ``worker_supervision.SupervisedWorker``. It owns a process (``shard_process``) that loads the model and
   answers (``shard_answering``). It starts the process again when that dies, and finds the row that kills it.
4. ``shard_outputs`` writes the output of a shard aside and renames it, and then the record that says that it is done.

``task_worker.TaskWorker`` is the same for other engines: Ray Data, Spark, Dask, Beam, ``datasets``, multiprocessing.
``ray_training`` runs the existing training loop on Ray, and ``corpus_preparation`` tokenizes a corpus in shards.
"""
