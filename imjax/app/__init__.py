"""The web page of `imjax app DIR`: paint and correct masks, train on them, compare runs. docs/how-to/app.md.

The page is plain JavaScript (`page/`): painting happens in the browser. `server` and `access` need the extra
`imjax[app]`; the other modules are plain Python.
"""
