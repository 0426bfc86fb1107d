"""Measurements beside other systems: `python -m bench [append catchup heal tiny live open] [--quick] [--full]`.

One module a workload; what it measures, and what it does not, stands at its top and is printed above its tables.
"""
