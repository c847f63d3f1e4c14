"""Measures how good a model is: metrics with intervals, calibration, speed, the worst errors; also of two models.

Begin with ``evaluator.py``. A file for each task turns examples into predictions and predictions into metrics
(``classification_metrics.py``, ``tagging_metrics.py``, ``answer_metrics.py``, ``choice_metrics.py``,
``masking_metrics.py``); ``task_metrics.py`` calls the right one. ``quantizer.py`` uses the same metrics to quantize a
model.
"""
