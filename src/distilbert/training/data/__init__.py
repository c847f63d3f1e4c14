"""Text as batches: readers, tokens on disk, packed sequences, masks. Needs no framework."""
