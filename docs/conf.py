"""Sphinx configuration. ``make docs`` builds the site into ``build/docs``; every warning is an error."""

import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
DOCS = Path(__file__).parent
sys.path[:0] = [str(DOCS.parent), str(DOCS / "_ext")]

import napari_saliency  # noqa: E402 - found through the path above

project = "napari-saliency"
author = "napari-saliency contributors"
copyright = f"2026, {author}"  # noqa: A001 - Sphinx's name
version = release = napari_saliency.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "registry_pages",
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "sphinx.ext.viewcode",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["**/sg_execution_times.rst", "sg_execution_times.rst"]
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
nitpicky = True  # every link must lead somewhere; `registry_pages` says which types are other projects'
default_role = "saliency"  # `name` in a docstring links to what has that name here, and is code otherwise

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # numpydoc's sections name the types, with shapes and units
numpydoc_class_members_toctree = False
numpydoc_show_class_members = False

sphinx_gallery_conf = {
    "examples_dirs": [str(DOCS.parent / "examples")],
    "gallery_dirs": ["examples"],
    "within_subsection_order": "registry_pages.RunFirst",
    "default_thumb_file": str(DOCS / "_static/gallery/photo.png"),
    "filename_pattern": r"/plot_",  # only these are run: bundled networks, no download, no window
    "download_all_examples": False,
    "min_reported_time": 600,
    "remove_config_comments": True,
    "show_memory": False,
    "write_computation_times": False,
}

html_theme = "pydata_sphinx_theme"
html_title = "napari-saliency"
html_static_path = ["_static"]
html_css_files = ["saliency.css"]
html_copy_source = False
html_theme_options = {
    "github_url": "https://github.com/napari-saliency/napari-saliency",
    "header_links_before_dropdown": 5,
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "show_toc_level": 2,
}
html_sidebars = {
    page: [] for page in ("index", "start", "models", "checks", "gallery", "known_truth", "randomisation")
}
