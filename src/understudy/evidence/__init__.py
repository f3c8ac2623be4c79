"""Evidence: what the numbers of a run mean and how sure they are.

| module       | answers                                                                      |
|--------------|------------------------------------------------------------------------------|
| `metrics.py` | how often is a student right, how sure is that, and how do its texts fail?   |
| `overlap.py` | which training questions are test questions as well?                         |
"""
