"""The report: which method, how good, how sure, at what price, and where it fails.

| module     | makes                                                                      |
|------------|----------------------------------------------------------------------------|
| `view.py`  | typed views of a run directory, complete or not                            |
| `rows.py`  | the rows that compare runs, as objects and as text                         |
| `plots.py` | SVG pictures: accuracy with its interval, the loss                         |
| `page.py`  | one self-contained HTML page for any number of runs, and a run's README    |

It shows what evaluation measured and measures nothing itself.
"""
