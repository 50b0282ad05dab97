"""``python -m kaf.worker`` is the resident worker."""

import sys

from kaf.runtime.errors import KafError
from kaf.runtime.plain_text import plain_lines
from kaf.worker.process import main

if __name__ == "__main__":
    try:
        main()
    except KafError as wrong:
        print(plain_lines(f"kaf: {wrong}"), file=sys.stderr)
        sys.exit(wrong.exit_code)
