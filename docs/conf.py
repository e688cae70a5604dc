"""How Sphinx makes the pages of this folder; `make docs` runs it."""

project = "sipproxy"
author = "the sipproxy authors"
extensions = ["myst_parser"]
exclude_patterns = ["_build"]
html_theme = "alabaster"
html_theme_options = {"description": "An instant-messaging and presence server for SIP"}
myst_heading_anchors = 3
