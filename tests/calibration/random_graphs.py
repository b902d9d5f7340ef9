"""Random networks with every kind of node that hands factors of channels on, takes them up, or does neither."""

from __future__ import annotations

import numpy as np

from tests.calibration.graph_drawing import TensorProto, make_model, node

SIZE = 8


class NetworkDrawer:
    """Draws a network step by step; every step reads tensors (1, channels, SIZE, SIZE) and gives one."""

    def __init__(self, seed):
        self.random = np.random.default_rng(seed)
        self.nodes, self.constants = [], {}
        self.channels = {"x": 4}
        self.steps = {
            name[len("step_") :]: getattr(self, name) for name in sorted(dir(self)) if name.startswith("step_")
        }

    def model(self, steps):
        """Return the network after some random steps."""
        self.step_conv("x")
        for kind in self.random.choice(sorted(self.steps), steps):
            # Mostly the newest tensors, so that the network is deep.
            names = list(self.channels)
            self.steps[kind](names[-1 - min(int(self.random.exponential(1.5)), len(names) - 1)])
        made = [self.step_conv(name) for name in list(self.channels)[-3:]]
        shape = {name: ((1, self.channels[name], SIZE, SIZE), TensorProto.FLOAT) for name in made}
        return make_model(self.nodes, self.constants, {"x": ((1, 4, SIZE, SIZE), TensorProto.FLOAT)}, shape)

    def add(self, kind, inputs, channels=None, **attributes):
        name = f"t{len(self.nodes)}"
        self.nodes.append(node(kind, inputs, name, **attributes))
        if channels is not None:
            self.channels[name] = channels
        return name

    def constant(self, value):
        name = f"c{len(self.constants)}"
        self.constants[name] = np.asarray(value)
        return name

    def spread(self, *shape):
        return np.exp(self.random.normal(0, 2, shape)).astype(np.float32)

    def weight(self, outputs, columns, *kernel, rows_first=True):
        values = self.random.normal(0, 1 / np.sqrt(columns * np.prod(kernel)), (outputs, columns, *kernel))
        values = values.astype(np.float32) * self.spread(outputs, *[1] * (1 + len(kernel)))
        return self.constant(values if rows_first else values.swapaxes(0, 1))

    def bias(self, channels):
        return self.constant(self.random.normal(0, 1, channels).astype(np.float32) * self.spread(channels))

    # Ends

    def step_conv(self, source):
        outputs = int(self.random.choice([4, 8]))
        inputs = [source, self.weight(outputs, self.channels[source], 3, 3)]
        if self.random.random() < 0.7:
            inputs.append(self.bias(outputs))
        return self.add("Conv", inputs, outputs, pads=[1, 1, 1, 1])

    def step_grouped(self, source):
        channels = self.channels[source]
        group = int(self.random.choice([2, channels]))
        weight = self.weight(channels, channels // group, 3, 3)
        return self.add("Conv", [source, weight, self.bias(channels)], channels, pads=[1, 1, 1, 1], group=group)

    def step_shared_weight(self, source):
        weight, channels = self.weight(4, self.channels[source], 1, 1), 4
        some = self.add("Conv", [source, weight], channels)
        others = [name for name, count in self.channels.items() if count == self.channels[source]]
        other = self.add("Conv", [str(self.random.choice(others)), weight], channels)
        return self.add("Concat", [some, other], 2 * channels, axis=1)

    def step_transposed(self, source):
        small = self.add("MaxPool", [source], kernel_shape=[2, 2], strides=[2, 2])
        channels, group = self.channels[source], int(self.random.choice([1, 2]))
        weight = self.constant(self.random.normal(0, 1, (channels, 4 // group, 2, 2)).astype(np.float32))
        made = {"strides": [2, 2], "group": group}
        return self.add("ConvTranspose", [small, weight, self.bias(4)], 4, **made)

    def step_matmul(self, source):
        places = self.add("Transpose", [source], perm=[0, 2, 3, 1])
        made = self.add("MatMul", [places, self.weight(4, self.channels[source], rows_first=False)])
        made = self.add("Add", [made, self.bias(4)])
        return self.add("Transpose", [made], 4, perm=[0, 3, 1, 2])

    def step_gemm(self, source):
        pooled = self.add("GlobalAveragePool", [source])
        flat = self.add("Flatten", [pooled])
        channels, is_transposed = self.channels[source], int(self.random.integers(2))
        weight = self.weight(channels, channels, rows_first=bool(is_transposed))
        made = self.add("Gemm", [flat, weight, self.bias(channels)], transB=is_transposed, alpha=0.5, beta=2.0)
        gate = self.add("Reshape", [made, self.constant(np.array([1, channels, 1, 1]))])
        return self.add("Add", [source, gate], channels)

    def step_normalisation(self, source):
        channels = self.channels[source]
        others = [self.spread(channels), self.random.normal(0, 1, channels).astype(np.float32)]
        inputs = [*others, others[1] * 0.5, self.spread(channels)]
        return self.add("BatchNormalization", [source, *map(self.constant, inputs)], channels)

    def step_scale(self, source):
        channels = self.channels[source]
        kind, shape = str(self.random.choice(["Mul", "Div"])), [(channels, 1, 1), (1, channels, 1, 1), (1, 1, 1)]
        value = self.constant(self.spread(*shape[int(self.random.integers(3))]))
        return self.add(kind, [value, source] if kind == "Mul" else [source, value], channels)

    def step_offset(self, source):
        channels = self.channels[source]
        shape = [(channels, 1, 1), (), (channels, SIZE, SIZE)][int(self.random.integers(3))]
        value = self.constant(self.spread(*shape))
        kind, swaps = str(self.random.choice(["Add", "Sub"])), self.random.random() < 0.5
        return self.add(kind, [value, source] if swaps else [source, value], channels)

    # Between

    def step_activation(self, source):
        kind = str(self.random.choice(["Relu", "Relu", "LeakyRelu", "PRelu"]))
        slope = [self.constant(self.spread(self.channels[source], 1, 1))] if kind == "PRelu" else []
        return self.add(kind, [source, *slope], self.channels[source])

    def step_pool(self, source):
        kind = str(self.random.choice(["MaxPool", "AveragePool"]))
        return self.add(kind, [source], self.channels[source], kernel_shape=[3, 3], pads=[1, 1, 1, 1])

    def step_pad(self, source):
        padded = self.add("Pad", [source, self.constant(np.array([0, 0, 1, 1, 0, 0, 1, 1]))])
        return self.add("MaxPool", [padded], self.channels[source], kernel_shape=[3, 3])

    def step_resize(self, source):
        small = self.add("AveragePool", [source], kernel_shape=[2, 2], strides=[2, 2])
        sizes = self.constant(np.array([1, self.channels[source], SIZE, SIZE]))
        empty = self.constant(np.zeros(0, np.float32))
        return self.add("Resize", [small, empty, empty, sizes], self.channels[source], mode="linear")

    def step_residual(self, source):
        others = [name for name, count in self.channels.items() if count == self.channels[source]]
        kind = str(self.random.choice(["Add", "Sub", "Max", "Sum"]))
        return self.add(kind, [source, str(self.random.choice(others))], self.channels[source])

    def step_concat(self, source):
        other = str(self.random.choice(list(self.channels)))
        if self.channels[source] + self.channels[other] > 16:
            return source
        joined = self.add("Concat", [source, other], axis=1)
        if self.channels[source] + self.channels[other] == 12:  # every tensor has 4, 8 or 16 channels
            return self.add("Slice", [joined, *map(self.constant, ([2], [10], [1]))], 8)
        self.channels[joined] = self.channels[source] + self.channels[other]
        return joined

    def step_spatial_concat(self, source):
        others = [name for name, count in self.channels.items() if count == self.channels[source]]
        joined = self.add("Concat", [source, str(self.random.choice(others))], axis=2)
        return self.add("MaxPool", [joined], self.channels[source], kernel_shape=[2, 1], strides=[2, 1])

    def step_shuffle(self, source):
        channels = self.channels[source]
        apart = self.add("Reshape", [source, self.constant(np.array([1, 2, channels // 2, SIZE, SIZE]))])
        turned = self.add("Transpose", [apart], perm=[0, 2, 1, 3, 4])
        return self.add("Reshape", [turned, self.constant(np.array([1, channels, SIZE, SIZE]))], channels)

    def step_halves(self, source):
        half = self.channels[source] // 2
        first = self.add("Gather", [source, self.constant(np.arange(half)[::-1].copy())], axis=1)
        second = self.add("Slice", [source, *map(self.constant, ([half], [99], [1]))])
        return self.add("Concat", [second, first], 2 * half, axis=1)

    def step_gate(self, source):
        mean = self.add("ReduceMean", [source], axes=[2, 3], keepdims=1)
        made = self.add("Conv", [mean, self.weight(self.channels[source], self.channels[source], 1, 1)])
        gate = self.add("Sigmoid", [made])
        return self.add("Mul", [source, gate], self.channels[source])

    def step_depth_to_space(self, source):
        small = self.add("MaxPool", [source], kernel_shape=[2, 2], strides=[2, 2])
        wide = self.add("Conv", [small, self.weight(16, self.channels[source], 1, 1), self.bias(16)])
        return self.add("DepthToSpace", [wide], 4, blocksize=2, mode=str(self.random.choice(["DCR", "CRD"])))

    # Neither

    def step_clip(self, source):
        bounds = [self.constant(np.float32(bound)) for bound in (0, 6)]
        return self.add("Clip", [source, *bounds], self.channels[source])

    def step_square(self, source):
        made = self.add("Mul", [source, source])
        one = self.constant(np.float32(1))
        made = self.add("Sqrt", [self.add("Add", [made, one])])
        return self.add("Sub", [made, one], self.channels[source])
