"""Distillation and masked-LM training: data, objective, student, loop, checkpoints and the report."""
