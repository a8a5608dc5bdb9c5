"""Starts a command: ``start.pyc MODULE FUNCTION NAME [ARGUMENT…]``, run by the image's own Python."""

import os
import sys

# A launcher put aside what the dynamic linker heeds; the programs that are started from here are to find it again.
for name in [each for each in os.environ if each.startswith("_xx_kept_")]:
    os.environ[name[len("_xx_kept_") :]] = os.environ.pop(name)
sys.path.append(os.path.dirname(os.path.abspath(__file__)) + "/app")
module, function = sys.argv[1:3]
del sys.argv[:3]
status = getattr(__import__(module, fromlist=[function]), function)()
try:
    sys.stdout.flush()
    sys.stderr.flush()
except OSError:
    # Nobody reads it any more.
    status = status or 1
# Taking the interpreter apart again is a seventh of a short call, and nothing here waits for it.
os._exit(status or 0)
