"""The parts of ``benchmark.py``: each measures one thing beside a plain implementation of it.

A part has ``add_arguments(parser)``, ``run(args)``, which returns what ``--json`` prints, and
``format_table(result)``, which lays that out for people.
"""
