"""A text corpus as batches: tokens on disk, packed sequences, masks. Needs no framework."""
