"""Which arms of `replicate.stages.arms` are of which kind, for modules without TensorFlow."""

REAL_ARMS = ("real", "augmented", "real_step_matched")  # no synthetic image
AUGMENTED_ARMS = ("augmented", "combined")
TOLD_APART = ("real_vs_synthetic", "real_vs_synthetic_alike")  # real or synthetic is the label
