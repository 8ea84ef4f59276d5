"""How results are judged: intervals, verdict rules and tests."""
