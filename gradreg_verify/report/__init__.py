"""Verdicts as data, and as JSON, Markdown, HTML and BibTeX."""
