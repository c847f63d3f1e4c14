"""From texts to answers: one file per task, batches under a token budget, and ``pipeline``. Needs NumPy only.

Begin with ``loading.py`` (``pipeline``: from a name to a task), ``base.py`` (what all tasks share) and
``text_classification.py`` (one task); ``task_spec.py`` says what is known of a task without running it.
"""

from .base import Task
from .feature_extraction import FeatureExtractionPipeline
from .fill_mask import FillMaskPipeline
from .loading import pipeline
from .multiple_choice import MultipleChoicePipeline
from .pipeline_base import Pipeline
from .question_answering import QuestionAnsweringPipeline
from .registry import ALIASES, TASKS, task_class, task_spec
from .sentence_similarity import SentenceSimilarityPipeline
from .task_spec import TaskSpec
from .text_classification import TextClassificationPipeline
from .token_classification import TokenClassificationPipeline
from .token_classification import TokenClassificationPipeline as NerPipeline
from .zero_shot_classification import ZeroShotClassificationPipeline

__all__ = [
    "ALIASES", "TASKS", "FeatureExtractionPipeline", "FillMaskPipeline", "MultipleChoicePipeline", "NerPipeline",
    "Pipeline", "QuestionAnsweringPipeline", "SentenceSimilarityPipeline", "Task", "TaskSpec",
    "TextClassificationPipeline", "TokenClassificationPipeline", "ZeroShotClassificationPipeline", "pipeline",
    "task_class", "task_spec",
]  # fmt: skip
