"""Start a shim: ``python -I -S __main__.py DIRECTORY IDLE_SECONDS``, by path, so that no site is loaded."""

import sys
from os.path import dirname

# The end of the path: nothing that lies beside reeve may stand in for the standard library.
sys.path.append(dirname(dirname(dirname(dirname(__file__)))))  # noqa: PTH120 - pathlib costs a megabyte

from reeve.drivers.process.daemon import main

main(sys.argv[1], float(sys.argv[2]))
