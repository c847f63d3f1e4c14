"""Measurements: competitors take turns in one run, and a result file states machine, versions, commit and date.

The engine:

- ``text_to_labels.py``: our pipeline against that of transformers.
- ``peers.py``: against every library that runs DistilBERT on a CPU. ``contestants.py`` has these libraries behind one
  interface, ``contestant_list.py`` their names and settings, ``contestant_files.py`` the model in their formats,
  ``contest.py`` the rounds, ``contestant_process.py`` a contestant in a new process,
  ``installed_size.py`` what pip installs for it, ``contest_report.py`` the tables.
- ``roofline.py``: the engine's share of what this machine can compute.
- ``cold_start.py``, ``memory.py``: time to the first answer, and peak memory.

The frameworks: ``siblings.py`` for Flax and Keras, ``gpu/`` for everything that needs a GPU.

Training: ``distil_step.py`` and ``distil_memory.py`` against the plain computation of ``distil_reference.py``, and
``finetune_step.py``.

``common.py`` holds what they share.
"""
