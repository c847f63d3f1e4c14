"""Vectors of texts for everyday use: an encoder, and an index to search in.

They stand on the tasks and need no framework.
"""
