"""lexmesh beside its peers, in one run on one machine: `python -m bench.peers`, or all benchmarks: `make bench`.

Whatever is compared does the same work: the same messages, framed beforehand, from one publisher that is never more
than a window ahead of the slowest subscriber, and every delivery is compared byte for byte. Rounds alternate between
the contenders, and only ratios are judged: absolute times are those of a shared machine.
"""
