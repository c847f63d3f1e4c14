"""Text to ids and back: WordPiece in pure Python, and its twin on the Rust library ``tokenizers``.

Begin reading with ``wordpiece``, the algorithm with a worked example, and ``tokenizer_base``, the interface of a
tokenizer, which stands on ``token_table`` (tokens, ids and options) and ``id_sequences`` (what is done with ids). Then:

* ``tokenizer`` and ``fast`` are the two tokenizers: ``DistilBertTokenizer`` and ``DistilBertTokenizerFast``. They give
  the same results on every text.
* ``encoding`` is one tokenized input, ``batch_encoding`` the result of a call.
* ``spec`` holds the vocabulary and the options, ``tokenizer_files`` reads and writes them, ``vocabulary_training``
  learns a new vocabulary, ``vocabulary_trimming`` makes one smaller.
* ``text_inputs``, ``truncation`` and ``padding`` are the arguments of a call.
* ``chat_templates`` and ``chat_rendering`` turn messages into a text.
* ``added_tokens`` matches ``[MASK]`` and its like before WordPiece.
* ``unicode`` says which characters are whitespace, punctuation and so on, from the generated ``unicode_tables``.
"""
