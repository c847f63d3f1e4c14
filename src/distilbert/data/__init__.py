"""Files to rows: tables, JSON, parquet, CoNLL, SQuAD and ``datasets``, for the command line and for training.

``row_streams`` and ``row_formats`` read rows one at a time; ``labelled`` turns whole files into checked examples;
``corpus`` reads plain text as documents.
"""
