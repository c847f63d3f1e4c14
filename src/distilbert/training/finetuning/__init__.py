"""Fine-tuning: a labelled file and a model into a model for a task, with or without a teacher."""
