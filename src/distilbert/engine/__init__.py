"""The CPU engine: runs a model on packed tokens, in fp32, bf16 or int8, on NumPy arrays and without any framework.

Begin with ``engine_runner.py``, the runner that tasks call, and ``packed_encoder.py``, the forward pass.

What is read:

- ``model_weights.py``: what the engine needs of a model, and how it is read from a folder. The frameworks' models have
  the same in ``engine_weights``.
- ``head_functions.py``: what each head computes.

What computes:

- ``operations.py``: the steps of the forward pass as a protocol, and their plain implementation in NumPy.
- ``kernel_library.py``: the same steps by the compiled C++ kernels of ``kernels/``.
- ``array_checks.py``: what is checked of an array before a kernel reads it.
- ``products.py``: linear maps with weights laid out once.
- ``projection_cache.py``: queries, keys and values of the first block, cached by word.
- ``precision.py``: what this CPU can do, how many threads it has, and what ``"auto"`` chooses.

What is kept from one start to the next:

- ``laid_out_weights.py``: where laid-out weights lie: in memory, in a file that is written, or in one that is mapped.
- ``packed_file.py``: a file of arrays that is mapped. ``packed_weights.py``: which model it belongs to.
- ``cache_folder.py``: where files and notes are kept, and how many.

How int8 is found:

- ``quantization.py``: calibration, and the file ``quantization.safetensors``.
- ``sensitivity.py``: which products int8 harms most.
- ``quantization_search.py``: as many products in int8 as a metric allows.
"""
