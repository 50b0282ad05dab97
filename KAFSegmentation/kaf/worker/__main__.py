"""``python -m kaf.worker`` is the resident worker."""

from kaf.worker.process import main

if __name__ == "__main__":
    main()
