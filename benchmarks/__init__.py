"""Measurements: one script a question, competitors in turn, results with machine, versions, commit and date."""
