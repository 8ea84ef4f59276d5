"""The weights of Keras' InceptionV3 without top: their address and what they must be. Light."""

INCEPTION_URL = (
    "https://storage.googleapis.com/tensorflow/keras-applications/inception_v3/"
    "inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5"
)
INCEPTION_FILE = INCEPTION_URL.rpartition("/")[2]
INCEPTION_MD5 = "bcbd6486424b2319ff4ef7d526e38f63"  # as pinned by keras.applications
