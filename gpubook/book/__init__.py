"""The book itself: its notebooks executed, rendered, printed and recorded.

`notebooks`, `execute`, `worker`, `cache`, `results`, `junit`, `record`: a run and what it leaves.
`render`, the Sphinx extensions (`sphinx_…`), `markdown` and `pdf` make pages of it.

Imports any room before it. Only `cli` imports it.
"""
