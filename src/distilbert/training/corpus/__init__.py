"""A text corpus as training batches, without any framework.

The way of a text: ``document_encoding`` tokenizes documents, ``token_cache`` keeps their tokens on disk,
``packed_sequences`` cuts them into sequences without padding and holds some out (``streamed_sequences`` does both while
training, without a cache), ``masking`` selects the tokens to predict, and ``text_batches`` puts the batches of a step
together. Begin reading with :func:`.text_batches.open_text`. All randomness comes from ``keyed_random``.
"""
