"""HTTP around tasks: one server for all of them, with dynamic batches, limits, metrics and a page.

It needs no framework: models are answered by the engine.
"""
