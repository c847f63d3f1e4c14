"""``python -m distilbert`` is the command ``distilbert``."""

from .cli import main

main()
