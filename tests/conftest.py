"""Tests compute with one thread, and so do the processes that they start.

Networks as small as theirs cannot feed two, which then wait for one another; runs that are compared bit by bit add up
in one order; and two workers of pytest-xdist are not in each other's way. A test that is about threads sets their
number. How long an example takes fails no test: other work may slow the machine.
"""

import os
import sys

from hypothesis import HealthCheck, settings

os.environ["OMP_NUM_THREADS"] = "1"  # read by numpy and torch when they are imported
if "numpy" in sys.modules:  # by a plugin of pytest
    import threadpoolctl

    threadpoolctl.threadpool_limits(1)
if "torch" in sys.modules:
    sys.modules["torch"].set_num_threads(1)

settings.register_profile("tests", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tests")
