"""`python -m tokensvc`, the same as the console script."""

import sys

from tokensvc.cli import main

if __name__ == "__main__":
    sys.exit(main())
