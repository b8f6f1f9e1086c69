"""Geometry of people and cameras, on arrays.

Compiled functions are kept in the user's cache: beside the sources they would outlive an uninstalled package.
"""

import os

from platformdirs import user_cache_path

os.environ.setdefault("NUMBA_CACHE_DIR", str(user_cache_path("epitool") / "numba"))
