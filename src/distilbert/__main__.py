"""``python -m distilbert`` is the command ``distilbert``."""

import sys


def main() -> None:
    """Run the command line; Ctrl-C ends it quietly from the first import on."""
    try:
        from .cli import main as run
    except KeyboardInterrupt:
        print("distilbert: interrupted", file=sys.stderr)
        sys.exit(130)
    run()


if __name__ == "__main__":
    main()
