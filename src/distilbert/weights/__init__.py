"""Bytes to named arrays and back.

Begin with ``folder``, which finds the files of a model folder and reads and writes them. ``tensors`` holds the tensors
of safetensors files and pickles, ``h5`` and ``msgpack`` the formats of TensorFlow and Flax, ``leaves`` their names.
``match`` checks that the tensors are exactly those of a model, and ``bert`` turns a BERT's tensors into a DistilBERT's.
"""
