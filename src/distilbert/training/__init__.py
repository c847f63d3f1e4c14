"""Training: distillation, masked-LM pretraining, fine-tuning and evaluation.

Begin reading with :func:`.distillation.distill`, or with :func:`.finetuning.finetuner.finetune`. Both build a
:class:`.loop.TrainingSetup` (settings, batches, an objective, an evaluator) and hand it to :func:`.loop.train`.

- ``config_fields.py``, ``distill_config.py``: settings as dataclasses.
- ``corpus/``: plain text as batches. ``finetuning/``: labelled data, and the objective of a model with a head.
- ``distill_models.py``, ``distill_objective.py``: teacher and student, and the loss between them. Its terms are in
  ``loss_terms.py``.
- ``loop.py``, ``optimizer.py``, ``processes.py``, ``checkpoints.py``: steps, learning rate, processes, resuming.
- ``run_folder.py``, ``run_summary.py``: what a run finds in its folder, and what it leaves there.
- ``run_inputs.py``: by what a resumed run knows its data and models again. ``seeded_random.py``: numbers from a seed.
- ``evaluation/``: metrics of labelled data. ``reports/``: pages, model cards and records of runs.
"""
