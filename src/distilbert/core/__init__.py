"""What DistilBERT is, for every framework.

Begin with ``config`` and ``schema``: the configuration, and the names and shapes of all tensors. ``outputs`` is what
models return, ``runner_protocol`` the border between tasks and whatever computes, ``errors`` every exception. ``hub``
and ``installed`` find the folder of a model; ``files`` writes files atomically.
"""
