"""`python -m runner`: the command line."""

import sys

from runner.cli.main import main

sys.exit(main())
