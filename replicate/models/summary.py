"""The layers of a network as rows, for the reports' architecture figures."""

import re


def layer_rows(model):
    """Returns `[name, output shape, parameters]` of each layer, in order.

    Names that Keras counts up within a process lose their number.

    Args:
        model: A built functional or sequential `keras.Model`.

    Returns:
        A list of JSON rows; the batch axis is left out of the shape, parameters include moving
        statistics.
    """
    return [
        [re.sub(r"_\d+$", "", layer.name), list(layer.output.shape[1:]), layer.count_params()]
        for layer in model.layers
    ]
