"""``python -m bert_mpq.sources.embedded.training`` trains the embedded classifier's adapter."""

import sys

from bert_mpq.sources.embedded.training.train import main

if __name__ == "__main__":
    sys.exit(main())
