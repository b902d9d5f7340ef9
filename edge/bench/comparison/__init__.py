"""Two runs side by side: whether they can be compared, the differences with their intervals, and what a user allows.

comparability.py   what has to be alike, and what is not
run_comparison.py  the record, and the whole way from two runs to it
text.py            the record in a few lines
fail_rule.py       --fail-if: from which difference on a command fails
"""
