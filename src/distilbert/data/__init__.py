"""From files to rows, documents and labelled examples.

Begin with ``row_stream``, which reads every format a row at a time, for the command line and for training.
``file_formats`` holds the endings of file names, and ``text_lines`` reads the lines of files and pipes.
``conll_format``, ``squad_format`` and ``arrow`` (parquet) know one format each.

For training, ``labelled`` turns whole tables (``table``) into checked examples (``examples``). ``column_roles`` finds
the columns, ``row_values`` checks their values, and ``labels`` makes numbers of labels. ``corpus`` reads text as
documents. ``data_sources`` finds folders and data sets of the library ``datasets``.
"""
