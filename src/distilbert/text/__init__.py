"""Text to ids and back: WordPiece in pure Python, its Rust-backed twin, encodings and vocabularies."""
