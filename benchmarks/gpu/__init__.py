"""Everything that needs a GPU, in one command: ``python -m benchmarks.gpu --out FOLDER``, or ``make gpu``.

Begin with ``stages.py``, which lists what is run. ``__main__.py`` runs each stage in a process of its own and writes
one result file and one log; ``files.py`` fills the folder of data that travels with the checkout to a machine without
network. ``docs/gpu.md`` says what has been run where.
"""
