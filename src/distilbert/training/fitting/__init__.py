"""``fit``: a linear head on vectors of a model that stays as it is, in seconds; and what it is compared with."""

from ...core.extras import require

require("sklearn", "evaluate")  # before the files of this folder import it
