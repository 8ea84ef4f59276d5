"""FIDS30, photographs of thirty kinds of fruit: where they lie, how they are read, a TFDS builder.

The study `fruits_gan` uses ten classes and a published split by file name (`split.json`, in the
order of the study's classes). `resized_256.json` has size and SHA-256 of the copies with a short
side of 256 pixels that route `resized-256` accepts.
"""
