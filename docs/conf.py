"""The site of the documentation, from docs/ and the docstrings: `make docs`."""

from pathlib import Path

ROOT = Path(__file__).parents[1]

project = 'mmbmtas'
copyright = 'the authors of mmbmtas'
extensions = ['myst_parser', 'autoapi.extension', 'sphinx.ext.napoleon']
exclude_patterns = ['_build', 'results/*/report.md', 'results/*/*/report.md']
html_theme = 'furo'
html_title = 'mmbmtas'

# Links to headings of other pages, as GitHub makes them.
myst_heading_anchors = 3
# Links to files of the repository that are not pages.
# What only a run can import is left out of the API.
suppress_warnings = ['myst.xref_missing', 'autoapi.python_import_resolution']

# The API is read from the sources; nothing is imported.
autoapi_dirs = [str(ROOT / 'mmbmtas')]
autoapi_root = 'api'
autoapi_options = ['members', 'show-inheritance', 'show-module-summary']
autoapi_member_order = 'bysource'
autoapi_python_class_content = 'class'
autoapi_add_toctree_entry = False
autodoc_typehints = 'description'
napoleon_use_ivar = True
