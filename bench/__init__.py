"""Benchmarks, each as ``python -m bench NAME``: beside other libraries, on the same machine, in the same minutes."""
