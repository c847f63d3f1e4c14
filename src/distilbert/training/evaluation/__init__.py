"""How good a model is: metrics and their intervals, calibration, speed, the worst errors; two models side by side."""
