"""``python -m stillroom``, and ``torchrun -m stillroom``: the command."""

import sys

from stillroom.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
