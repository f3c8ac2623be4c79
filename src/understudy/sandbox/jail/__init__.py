"""The engine for Linux: CPython in a process that the kernel has closed.

    host.py        in our process: never looks at program text, only passes it on
    runner.py      a process of its own: loads the modules, closes itself in, forks workers, runs no program text
    worker.py      forked by the runner: runs programs behind the system-call filter, one after the other or one only
    seccomp.py, landlock.py, confine.py    the layers
    screen.py      which programs may share a worker
    canary.py      proves at every start that the layers hold

Everything but `host.py` runs in the runner, started without site-packages: these modules import the standard library
and each other, nothing else.
"""
