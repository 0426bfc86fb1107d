"""What is measured: one module a system, its functions by workload. Public APIs only; the same work for all.

Each function is called in a process of its own, with a `Job`, and returns figures (see `bench.job`).
"""
