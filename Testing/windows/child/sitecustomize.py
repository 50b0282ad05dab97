"""Python imports this by itself in the processes that ``kaf`` starts: the stand-in goes on there."""

import os
import sys

if "KAF_WINDOWS" in os.environ:
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
    from windows import emulation

    del sys.path[0]
    emulation.activate()
