"""The mapping network: latent and label to w."""

from __future__ import annotations

from keras import layers, ops

from replicate.models.stylegan2.layers import EqualizedDense, normalize

LR_MULTIPLIER = 0.01
W_AVG_DECAY = 0.995


def check_vectors(name, vectors, width):
    """Raise ValueError unless `vectors` are `(batch, width)`, or None where `width` is 0."""
    shape = None if vectors is None else tuple(vectors.shape)
    if (width and (shape is None or len(shape) != 2)) or (shape and shape[-1] != width):
        raise ValueError(f"Expected {name} of shape (batch, {width}). Received: shape={shape}")


class Mapping(layers.Layer):
    """Normalised latent and normalised label embedding, then dense layers with rectifiers.

    The discriminator's has no latent, no copies and no mean (`z_dim=0`, `num_ws=None`).

    Args:
        z_dim: dimensions of the latent, 0 for none.
        c_dim: number of classes, 0 for none.
        embed_dim: dimensions of the label embedding.
        widths: units of the dense layers; the last is the dimension of w.
        num_ws: copies of w, one an input of the synthesis network, or None for plain w.
        normal: `Normal` that draws the weights.
    """

    def __init__(self, z_dim, c_dim, embed_dim, widths, num_ws, normal, **kwargs):
        super().__init__(**kwargs)
        self.z_dim, self.c_dim, self.num_ws = z_dim, c_dim, num_ws
        self.embed = EqualizedDense(c_dim, embed_dim, normal, name="embed") if c_dim else None
        width = z_dim + (embed_dim if c_dim else 0)
        self.dense = []
        for index, units in enumerate(widths):
            self.dense.append(
                EqualizedDense(width, units, normal, False, LR_MULTIPLIER, name=f"fc{index}")
            )
            width = units
        self.w_avg = None
        if num_ws is not None:
            self.w_avg = self.add_weight((width,), "zeros", trainable=False, name="w_avg")
        self.built = True

    def call(self, z=None, c=None, truncation_psi=1.0, training=False):
        """Map latents `(batch, z_dim)` and one-hot labels `(batch, c_dim)` to w.

        Args:
            z: latents, standard normal.
            c: labels.
            truncation_psi: 1 keeps w, 0 gives the mean w; in between, the way to the mean.
            training: whether the batch moves the running mean of w.

        Returns:
            `(batch, num_ws, w_dim)`, or `(batch, w_dim)` without `num_ws`.

        Raises:
            ValueError: if latents or labels have other widths.
        """
        check_vectors("z", z, self.z_dim)
        check_vectors("c", c, self.c_dim)
        parts = [normalize(z)] if self.z_dim else []
        if self.c_dim:
            parts.append(normalize(self.embed(c)))
        x = ops.concatenate(parts, axis=1)
        for layer in self.dense:
            x = layer(x)
        if self.num_ws is None:
            return x
        if training:
            mean = ops.mean(ops.stop_gradient(x), axis=0)
            self.w_avg.assign(mean + (self.w_avg - mean) * W_AVG_DECAY)
        x = ops.repeat(x[:, None], self.num_ws, axis=1)
        if not (isinstance(truncation_psi, int | float) and truncation_psi == 1):
            x = self.w_avg + (x - self.w_avg) * truncation_psi
        return x
