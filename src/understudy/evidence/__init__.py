"""Evidence: what the numbers of a run mean and how sure they are.

| module          | answers                                                                      |
|-----------------|------------------------------------------------------------------------------|
| `metrics.py`    | how often is a student right, how sure is that, and how do its texts fail?   |
| `comparison.py` | how far are two ways apart on the same questions, and how sure is that?      |
| `overlap.py`    | which training questions are test questions as well?                         |
"""
