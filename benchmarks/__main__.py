"""`python -m benchmarks` lists the proofs; `python -m benchmarks NAME` runs one."""

import sys

from benchmarks.harness import main

sys.exit(main())
