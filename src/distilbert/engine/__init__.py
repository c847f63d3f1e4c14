"""The CPU engine: runs a loaded PyTorch model on packed tokens, in fp32, bf16 or int8.

Begin with ``engine_runner.py``, the runner that tasks call, and ``encoder.py``, the forward pass.

What computes:

- ``operations.py``: the steps of the forward pass as a protocol, and their plain implementation in PyTorch.
- ``kernel_library.py``: the same steps by the compiled C++ kernels of ``kernels/``.
- ``array_checks.py``: what is checked of an array before a kernel reads it.
- ``products.py``: matrix products with prepared weights, by our kernel, oneDNN or PyTorch.
- ``projection_cache.py``: queries, keys and values of the first block, cached by word.
- ``precision.py``: what this CPU can do, and what ``"auto"`` chooses.

How int8 is found:

- ``quantization.py``: calibration, and the file ``quantization.safetensors``.
- ``sensitivity.py``: which products int8 harms most.
- ``quantization_search.py``: as many products in int8 as a metric allows.

``model_protocol.py`` says what the engine reads of a model; it imports no model code.
"""
