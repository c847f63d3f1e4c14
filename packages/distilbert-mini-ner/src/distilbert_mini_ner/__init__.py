"""The model distilbert-mini-ner: a folder of files, for distilbert and whatever else reads such folders."""

from pathlib import Path

__version__ = "1.0.0"
MODEL = Path(__file__).parent / "model"
