"""Methods: one file a published system, named as in its paper.

method, problems = METHODS.make(Part(name="pad"))
method.roles()                       # the students it trains, in order, and the sources each learns from
method.examples(task, role, question, found)
method.answer(task, question)        # the procedure by which they answer
"""

from __future__ import annotations

from understudy.methods.method import AsksTeacher, Method, Role, Source, TeacherAlone, needs_programs, predict
from understudy.methods.self_consistency import vote
from understudy.registry import Registry

METHODS: Registry[Method] = Registry(
    "method",
    {
        "few-shot-cot": "understudy.methods.few_shot:FewShotCot",
        "finetune": "understudy.methods.finetune:Finetune",
        "label-distillation": "understudy.methods.finetune:LabelDistillation",
        "pad": "understudy.methods.pad:Pad",
        "pad-refinement": "understudy.methods.refinement:PadRefinement",
        "pal": "understudy.methods.few_shot:Pal",
        "rationale-as-input": "understudy.methods.rationale_as_input:RationaleAsInput",
        "rationale-pipeline": "understudy.methods.rationale_as_input:RationalePipeline",
        "single-task": "understudy.methods.single_task:SingleTask",
        "socratic": "understudy.methods.socratic:SocraticCot",
        "step-by-step": "understudy.methods.step_by_step:StepByStep",
        "verifier": "understudy.methods.verifier:Verifier",
        "zero-shot-cot": "understudy.methods.zero_shot_cot:ZeroShotCotAlone",
    },
)

__all__ = ["METHODS", "AsksTeacher", "Method", "Role", "Source", "TeacherAlone", "needs_programs", "predict", "vote"]
