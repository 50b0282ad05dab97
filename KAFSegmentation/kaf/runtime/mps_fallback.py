"""What torch cannot do on Apple's GPUs (MPS) it does on the CPU: it reads this when it is imported."""

import os
import sys

if sys.platform == "darwin":
    os.environ.setdefault("PYTORCH_ENABLE_MPS_FALLBACK", "1")
