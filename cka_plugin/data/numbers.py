"""Arrays of one entry an example, by what they hold."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Words = npt.NDArray[np.str_]
Fingerprints = npt.NDArray[np.uint64]
