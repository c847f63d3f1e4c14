"""Estimators of scikit-learn: texts to vectors, to labels, and words to tags.

Begin with ``text_vectorizer``. The others fit a linear model on vectors, or fine-tune a model.
"""

from ...core.extras import require

require("sklearn", "sklearn")  # before the files of this folder derive their classes from it
