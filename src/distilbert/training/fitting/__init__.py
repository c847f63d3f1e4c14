"""``fit``: a linear head on vectors of a model that stays as it is, in seconds; and what it is compared with."""
