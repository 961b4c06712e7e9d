"""Sphinx configuration; `nox -s docs` builds with every warning an error and needs no network."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_ext"))

import teamlink  # noqa: E402

project = "teamlink"
author = "The teamlink developers"
copyright = "2026, The teamlink developers"
release = version = teamlink.__version__

extensions = [
    "myst_nb",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx-mathjax-offline",
    "sphinx_design",
    "generated_pages",
]
exclude_patterns = ["_build", "_ext", "_templates"]
nitpicky = True

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath", "amsmath"]
myst_heading_anchors = 3
nb_execution_mode = "cache"
nb_execution_cache_path = str(HERE / "_build" / "notebook-cache")
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_merge_streams = True

autosummary_generate = True
autodoc_typehints = "none"
autodoc_member_order = "bysource"
autodoc_class_signature = "separated"
default_role = "literal"
numpydoc_show_class_members = False
numpydoc_xref_param_type = False

templates_path = ["_templates"]

html_theme = "pydata_sphinx_theme"
html_title = "teamlink"
html_static_path = ["_static"]
html_css_files = ["teamlink.css"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "logo": {"text": "teamlink"},
    "show_prev_next": True,
    "navigation_with_keys": False,
    "show_toc_level": 2,
    "header_links_before_dropdown": 6,
    "navbar_end": ["theme-switcher"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "secondary_sidebar_items": ["page-toc"],
}
html_context = {"default_mode": "auto"}
pygments_style = "tango"
