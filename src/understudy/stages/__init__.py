"""Stages: every stage is a verb; it reads one kind of file and leaves one kind of file.

| stage    | reads                                     | leaves                                               |
|----------|-------------------------------------------|------------------------------------------------------|
| generate | task                                      | `completions/<source>.jsonl`                         |
| filter   | completions                               | `rationales/<source>.jsonl`, `rejected/<source>.jsonl` |
| build    | every training question, its rationales   | `examples/<role>.jsonl`                              |
| train    | examples                                  | `students/<role>/`, `training/<role>.jsonl`          |
| evaluate | students, task                            | `predictions.jsonl`, `metrics.json`                  |
| report   | all of it                                 | `report.html`, `README.md`                           |

A stage knows neither tasks nor methods by name. Each module has three functions: the verb itself; `inputs`, what its
result depends on (when that changes, it is done again); `outputs`, the files it leaves.
"""
