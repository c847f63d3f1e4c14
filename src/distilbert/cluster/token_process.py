"""The process of a worker that tokenizes: shards of documents come in, their tokens go out.

Both are pickles, between a process and the one that started it. First comes the tokenizer. When standard input ends, so
does the process.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys

from ..training.corpus.token_shards import encode_or_explain


def main() -> None:
    """Serve until standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that started this one, which ends it
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever prints must not get between the answers
    shards = sys.stdin.buffer
    tokenizer = pickle.load(shards)
    while True:
        try:
            documents = pickle.load(shards)
        except EOFError:
            return
        pickle.dump(encode_or_explain(documents, tokenizer), answers, protocol=pickle.HIGHEST_PROTOCOL)
        answers.flush()


if __name__ == "__main__":
    main()
