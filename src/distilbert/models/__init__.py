"""The model in each framework, one room each, and the Auto classes that choose between them."""
