"""``python -m gradreg_cli`` is ``gradreg``."""

import sys

from gradreg_cli import main

sys.exit(main())
