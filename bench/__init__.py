"""Measurements beside other systems and beside what can be written by hand: `python -m bench`.

- `keys` is the work: what is set, by whom, and how the files are made. `trace` is an editing trace.
- `workloads/` says what is measured, in words and as tables of contenders (`table`).
- `peers/` and `node/` do it: a module a system, each function in a process of its own (`job`).
- `process` and `run` start them, in turn; `relay` counts bytes.
- `report` and `picture` write results.md and results.svg; `machine` says where, `notes.md` what bounds what is not
  reached.

    python -m bench --quick              everything, small and once: a smoke run whose figures mean nothing
    python -m bench --only heal,live     some workloads
    python -m bench --times 9            more repetitions
    python -m bench --out folder         the page and the picture there, and not over those of the project
"""
