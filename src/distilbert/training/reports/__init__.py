"""What a person sees of a run: metrics, TensorBoard, the report, the model card."""
