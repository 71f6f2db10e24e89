"""``python -m gradreg_ref`` is ``gradreg``."""

import sys

from gradreg_ref.cli import main

sys.exit(main())
