"""``python -m reeve``: the command, without needing it on the path."""

from reeve.cli.main import main

if __name__ == "__main__":
    main()
