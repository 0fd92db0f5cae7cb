"""How the site is built: `python -m sphinx -W -b html docs docs/_build`; CONTRIBUTING.md says what it is made of."""

import os
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "extension"))
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("HF_HUB_OFFLINE", "1")  # no page needs a network

from cka_plugin.version import __version__  # noqa: E402

project = "cka_plugin"
author = "The cka_plugin developers"
copyright = "The cka_plugin developers, Apache-2.0"
release = version = __version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "myst_parser",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    "formulas",
    "made_pages",
    "gallery",
]
exclude_patterns = ["_build", "extension", "tutorial", "made/tutorial/sg_execution_times.rst"]
nitpicky = False
default_role = "literal"  # docstrings write names in single backticks, as Markdown does

# Pages in Markdown
myst_enable_extensions = ["dollarmath", "amsmath", "colon_fence", "deflist"]
myst_heading_anchors = 3
suppress_warnings = ["myst.header"]

# Reference from docstrings
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True
napoleon_use_admonition_for_examples = False

# The tutorial, which runs
sphinx_gallery_conf = {
    "examples_dirs": ["tutorial"],
    "gallery_dirs": ["made/tutorial"],
    "image_scrapers": ("made_pages.figure_of",),
    "reset_modules": (),
    "capture_repr": ("__repr__",),
    "abort_on_example_error": True,
    "download_all_examples": False,
    "show_signature": False,
    "write_computation_times": False,
    "run_stale_examples": True,  # the package changes, not the example
}

html_math_renderer = "mathml"
html_theme = "pydata_sphinx_theme"
html_title = "cka_plugin"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_theme_options = {
    "show_prev_next": True,
    "navigation_with_keys": False,
    "show_toc_level": 2,
    "navbar_align": "left",
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": ["theme-version"],
}
# pages that have no others beneath them
html_sidebars = {name: [] for name in ("index", "made/gallery", "measured", "faq", "versions", "security")}
