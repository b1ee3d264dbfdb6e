"""The two ends of Python to Python, a pair for each library: `python -m peers.pair receive|send LIBRARY PORT COUNT`."""
