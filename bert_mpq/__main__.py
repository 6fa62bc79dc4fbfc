"""``python -m bert_mpq`` is ``bert-mpq``."""

import sys

from bert_mpq.ui.main import main

if __name__ == "__main__":
    sys.exit(main())
