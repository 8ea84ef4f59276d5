"""Keras networks of the replicated studies, one family a file."""
