"""``distilbert run``: a task over a file, a pipe or what is typed.

The way of a row:

1. ``options`` turns the command line into a ``RunPlan`` (``plan``), and ``steps.run`` does the rest in this order.
2. ``steps.plan_output`` checks the output before anything is read (``partial_output``, ``data.output_files``).
3. ``input_rows.open_input`` opens a file or standard input as a ``RowStream`` (``distilbert.data.row_stream``).
4. ``data.task_inputs`` matches columns to the arguments of the task: from a header at once, else with the first row.
5. ``steps.load`` loads the model with ``distilbert.tasks.loading.pipeline``.
6. ``data.row_windows`` turns rows into inputs and gathers them into windows; a row that cannot be used has null for an
   answer, is left out, or ends the work.
7. ``answering`` hands each window to the task. With ``--source``, ``sentence_ranking`` does, and sorts the sentences.
8. ``result_writers`` takes the answers: into ``OUTPUT.part`` (``partial_output``), to a pipe, or to a terminal
   (``terminal_views``). ``data.result_rows`` joins an answer to its row and lays it out as a table.
9. At the end ``data.output_files.publish`` makes the output from ``OUTPUT.part`` in the format of its name.
"""

from .options import EXAMPLE, command

__all__ = ["EXAMPLE", "command"]
