"""What the stages of several studies do with a trial: store a set, compare it with real images."""
