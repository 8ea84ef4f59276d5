"""What is run, where, and what is already done: trials, records, plans, execution."""
