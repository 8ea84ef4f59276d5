"""StyleGAN2-ADA in plain NumPy, NCHW and slow: zeros between pixels, a kernel for every image."""

import re

import numpy as np

FILTER = np.outer([1, 3, 3, 1], [1, 3, 3, 1]) / 64


def convolve(x, kernel, padding=0, stride=1):
    """Correlate `(N, I, H, W)` with `(O, I, k, k)`, zeros beyond the borders."""
    x = np.pad(x, [(0, 0), (0, 0), (padding, padding), (padding, padding)])
    windows = np.lib.stride_tricks.sliding_window_view(x, kernel.shape[2:], (2, 3))
    return np.einsum("nihwkl,oikl->nohw", windows[:, :, ::stride, ::stride], kernel, optimize=True)


def filtered(x, before, after, gain=1.0):
    n, c, h, w = x.shape
    x = np.pad(x, [(0, 0), (0, 0), (before, after), (before, after)])
    x = convolve(x.reshape(n * c, 1, *x.shape[2:]), FILTER[None, None] * gain)
    return x.reshape(n, c, *x.shape[2:])


def zeros_between(x):
    out = np.zeros((*x.shape[:2], 2 * x.shape[2], 2 * x.shape[3]))
    out[:, :, ::2, ::2] = x
    return out


def activated(x, gain=1.0, clamp=None, linear=False):
    if not linear:
        x = np.where(x > 0, x, 0.2 * x) * np.sqrt(2)
    x = x * gain
    return x if clamp is None else np.clip(x, -clamp * gain, clamp * gain)


def dense(x, arrays, path, lr=1.0, linear=True):
    weight, bias = arrays[f"{path}.weight"], arrays[f"{path}.bias"]
    return activated(x @ weight.T * lr / np.sqrt(weight.shape[1]) + bias * lr, linear=linear)


def mapping(arrays, path, z, c):
    parts = [] if z is None else [z]
    if c is not None:
        parts.append(dense(c, arrays, f"{path}.embed"))
    x = np.concatenate([p / np.sqrt((p**2).mean(1, keepdims=True) + 1e-8) for p in parts], 1)
    depth = sum(re.fullmatch(rf"{path}\.fc\d+\.weight", name) is not None for name in arrays)
    for index in range(depth):
        x = dense(x, arrays, f"{path}.fc{index}", lr=0.01, linear=False)
    return x


def modulated(x, kernel, styles, up, demodulate):
    out = []
    for image, style in zip(x, styles, strict=True):
        own = kernel * style[None, :, None, None]
        if demodulate:
            own = own / np.sqrt((own**2).sum((1, 2, 3), keepdims=True) + 1e-8)
        image = image[None]
        if up:
            image = filtered(zeros_between(image), 3, 2, gain=4)
            out.append(convolve(image, own[:, :, ::-1, ::-1]))
        else:
            out.append(convolve(image, own, padding=kernel.shape[2] // 2))
    return np.concatenate(out)


def synthesis_layer(x, w, a, path, up, noise, clamp):
    x = modulated(x, a[f"{path}.weight"], dense(w, a, f"{path}.affine"), up, True)
    if noise:
        x = x + a[f"{path}.noise_const"] * a[f"{path}.noise_strength"]
    return activated(x + a[f"{path}.bias"][:, None, None], clamp=clamp)


def generator(arrays, z, c, noise=True, clamp=None):
    """Images `(N, C, H, W)` of the arrays `G.…`."""
    a = {k[2:]: np.asarray(v, np.float64) for k, v in arrays.items() if k.startswith("G.")}
    w = mapping(a, "mapping", z, c)
    x = np.repeat(a["synthesis.b4.const"][None], len(w), 0)
    image, size = None, 4
    while f"synthesis.b{size}.conv1.weight" in a:
        block = f"synthesis.b{size}"
        if size > 4:
            x = synthesis_layer(x, w, a, f"{block}.conv0", True, noise, clamp)
        x = synthesis_layer(x, w, a, f"{block}.conv1", False, noise, clamp)
        weight = a[f"{block}.torgb.weight"]
        styles = dense(w, a, f"{block}.torgb.affine") / np.sqrt(weight.shape[1])
        y = modulated(x, weight, styles, False, False) + a[f"{block}.torgb.bias"][:, None, None]
        y = activated(y, clamp=clamp, linear=True)
        image = y if image is None else y + filtered(zeros_between(image), 2, 1, gain=4)
        size *= 2
    return image


def conv_layer(x, a, path, down=False, gain=1.0, clamp=None):
    kernel = a[f"{path}.weight"]
    kernel = kernel / np.sqrt(np.prod(kernel.shape[1:]))
    padding = kernel.shape[2] // 2
    if down:
        x = convolve(filtered(x, 1 + padding, 1 + padding), kernel, stride=2)
    else:
        x = convolve(x, kernel, padding=padding)
    if f"{path}.bias" not in a:
        return x * gain
    return activated(x + a[f"{path}.bias"][:, None, None], gain, clamp)


def deviations(x, group, maps):
    n, c, h, w = x.shape
    group = min(group, n)
    y = x.reshape(group, n // group, maps, c // maps, h, w)
    y = np.sqrt(y.var(0) + 1e-8).mean((2, 3, 4))
    return np.concatenate([x, np.tile(y, (group, 1))[:, :, None, None] * np.ones((h, w))], 1)


def discriminator(arrays, x, c, group=4, clamp=None):
    """Logits `(N, 1)` of the arrays `D.…` for images `(N, C, H, W)`."""
    a = {k[2:]: np.asarray(v, np.float64) for k, v in arrays.items() if k.startswith("D.")}
    size = x.shape[2]
    x = conv_layer(x, a, f"b{size}.fromrgb", clamp=clamp)
    while size > 4:
        gain = np.sqrt(0.5) if f"b{size}.skip.weight" in a else 1.0
        y = conv_layer(conv_layer(x, a, f"b{size}.conv0", clamp=clamp), a, f"b{size}.conv1",
                       True, gain, clamp)  # fmt: skip
        x = y + conv_layer(x, a, f"b{size}.skip", True, gain) if gain < 1 else y
        size //= 2
    maps = a["b4.conv.weight"].shape[1] - a["b4.conv.weight"].shape[0]
    x = conv_layer(deviations(x, group, maps) if maps else x, a, "b4.conv", clamp=clamp)
    x = dense(dense(x.reshape(len(x), -1), a, "b4.fc", linear=False), a, "b4.out")
    if c is None:
        return x
    label = mapping(a, "mapping", None, c)
    return (x * label).sum(1, keepdims=True) / np.sqrt(label.shape[1])
