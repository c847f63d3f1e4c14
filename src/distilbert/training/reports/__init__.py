"""What people see of a run: metrics.jsonl, TensorBoard, report.html, the model card; also the page of an evaluation.

Begin with ``training_report.py``. Pages and cards are jinja2 templates in ``templates/``; ``charts.py`` draws.
"""
