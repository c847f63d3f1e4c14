"""Fine-tuning: a labelled file and a model become a model for a task, with or without a teacher.

Begin reading with :func:`.finetuner.finetune`, which goes through the steps of a run: ``finetune_data`` reads the
files, ``encoded_examples`` tokenizes them, ``labelled_batches`` draws the examples of each step, ``finetune_objective``
computes the loss, and ``task_models`` builds the model and its teacher. ``finetune_tasks`` holds what differs from task
to task. ``sweep`` chooses among several seeds and learning rates.
"""
