"""`python -m replicate.report`."""

import sys

from replicate.report import main

if __name__ == "__main__":
    sys.exit(main())
