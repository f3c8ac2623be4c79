"""Prompts: what the teacher is asked, by the format's own words or by a template of the user's.

prompter = Prompter(config.prompt, config.seed, folder)
prompt = prompter.prompt(task, question, Cot(), task.demonstrations("cot"), 4)
prompt.text       # "Q: Mia has 12 pens ...\nA:"
prompt.turns      # (("system", "..."), ("user", "Mia has 12 pens ..."))       () if it is one message
"""

from __future__ import annotations

from understudy.prompts.prompter import Prompt, Prompter, Variant

__all__ = ["Prompt", "Prompter", "Variant"]
