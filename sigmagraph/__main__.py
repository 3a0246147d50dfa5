"""``python -m sigmagraph`` is the command line."""

from sigmagraph.cli import main

if __name__ == "__main__":
    main()
