"""Bytes to named arrays and back: model folders, file formats, strict checks, BERT's names, the hub."""
