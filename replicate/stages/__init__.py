"""What the stages of several studies do with a trial, and what else needs all parts at once."""
