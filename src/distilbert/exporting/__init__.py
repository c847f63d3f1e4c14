"""Models as files for other runtimes: ONNX, OpenVINO, and PyTorch programs.

Begin with ``exporter.py``, which holds :func:`export`: load a model, write it, verify the file, move it into place.

- ``formats.py``: the formats, their precisions, files, inputs and outputs.
- ``writers.py``: a model as a PyTorch program, and the program as a file in each format.
- ``verification.py``: batches to compare a model with its export on, and how far they may differ.
- ``destination.py``: the folder that an export goes to.
- ``export_record.py``: ``export.json``, which says what the exports in a folder are.
- ``exported_runner.py``: the runner of an exported folder.
- ``runtime_sessions.py``: exported files, opened in ONNX Runtime or OpenVINO, also in forked processes.
- ``libraries.py``: imports ONNX Runtime, OpenVINO and NNCF without their messages and network connections.
"""
