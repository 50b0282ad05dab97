"""The fusion layer against a plain dense formulation of Yang et al., NeurIPS 2023: keypoint by keypoint, without sites.

The reference gathers every keypoint by itself, attends slice by slice with an explicit softmax, lays the
tokens on a dense map by their mean per cell and runs ordinary convolutions over it.
"""

import copy
import math

import pytest
import torch
import torch.nn.functional as F

from kaf.network.batch_norm import TokenNorm
from kaf.network.fusion import KeypointFusion, sparse_conv3x3
from kaf.network.occupied_cells import find_occupied_cells
from kaf.settings.network import NetworkSettings

CHANNELS, WIDTH, HEADS, BLOCKS = 6, 16, 4, 2


def keypoint_sets(case):
    """(positions per slice, stride, map height, map width): (row, column) in pixels of the image."""
    generator = torch.Generator().manual_seed(3)

    def scattered(count, height, width):
        return torch.rand(count, 2, generator=generator) * torch.tensor([height, width]) - 0.5

    if case == "apart":
        return [scattered(9, 13, 11), scattered(4, 13, 11)], 1, 13, 11
    if case == "colliding":  # 40 keypoints of a 48 x 40 image in 6 x 5 cells
        return [scattered(40, 48, 40), scattered(3, 48, 40), scattered(25, 48, 40)], 8, 6, 5
    if case == "borders":  # corners, edges, halves, the same pixel twice, and just outside the image
        corners = torch.tensor([[0, 0], [0, 17], [14, 0], [14, 17], [14, 17],
                                [7.5, 17.4], [-0.5, 3.5], [14.49, 9]])
        outside = torch.tensor([[-3.0, 5.0], [15.0, 18.0], [40.0, -40.0]])
        return [corners, outside, scattered(5, 15, 18)], 2, 8, 9
    assert case == "single cell"
    return [scattered(7, 4, 4), scattered(2, 4, 4)], 4, 1, 1


CASES = ["apart", "colliding", "borders", "single cell"]


def padded(sets, extra=2):
    """(B, N, 2) with nonsense in the padding, (B, N) mask."""
    count = max(len(points) for points in sets) + extra
    keypoints = torch.full((len(sets), count, 2), -12345.0)
    mask = torch.zeros(len(sets), count, dtype=torch.bool)
    for index, points in enumerate(sets):
        keypoints[index, : len(points)] = points
        mask[index, : len(points)] = True
    return keypoints, mask


def make_layer(norm="batch", dtype=torch.float32):
    """A layer in which no weight, bias or running statistic is at its resting value; ``norm`` as "batch" or
    "batch+layer": of the maps, and of the tokens where it is another."""
    torch.manual_seed(0)
    maps, _, tokens = norm.partition("+")
    layer = KeypointFusion(CHANNELS, NetworkSettings(
        token_width=WIDTH, blocks=BLOCKS, heads=HEADS, diffusion_width=8, norm=maps, token_norm=tokens or None))
    with torch.no_grad():
        for parameter in layer.parameters():
            inputs = parameter[0].numel() if parameter.ndim > 1 else 2
            parameter.copy_(torch.randn_like(parameter) / math.sqrt(inputs))
        for name, buffer in layer.named_buffers():
            if name.endswith("running_var"):
                buffer.uniform_(0.5, 2)
            elif name.endswith("running_mean"):
                buffer.normal_()
    return layer.to(dtype)


class DenseReference:
    """The formulas of Yang et al., 2023, with the weights of a layer; it keeps its own running statistics, by name."""

    def __init__(self, layer):
        self.layer = layer
        self.weights = dict(layer.named_parameters())
        self.buffers = {name: value.clone() for name, value in layer.named_buffers()}

    def linear(self, x, name):
        return x @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]

    def conv(self, x, name):
        return F.conv2d(x, self.weights[f"{name}.weight"], self.weights[f"{name}.bias"], padding=1)

    def norm(self, x, name):
        """Over all rows of (R, C), or over batch and pixels of (B, C, H, W)."""
        weight, bias = self.weights[f"{name}.weight"], self.weights[f"{name}.bias"]
        if f"{name}.running_mean" in self.buffers:
            return F.batch_norm(x, self.buffers[f"{name}.running_mean"], self.buffers[f"{name}.running_var"],
                                weight, bias, self.layer.training)
        return F.layer_norm(x, x.shape[1:], weight, bias) if x.ndim == 2 else F.group_norm(x, 8, weight, bias)

    def mlp(self, x, name, layers):
        for index in range(layers - 1):
            x = self.norm(self.linear(x, f"{name}.linears.{index}"), f"{name}.norms.{index}").clamp(min=0)
        return self.linear(x, f"{name}.linears.{layers - 1}")

    def attend(self, x, name):
        """(N, D) tokens of one slice -> messages (N, D), attention (heads, N, N)."""
        w, b, size = self.weights[f"{name}.qkv.weight"], self.weights[f"{name}.qkv.bias"], WIDTH // HEADS
        messages, attention = [], []
        for head in range(HEADS):
            q, k, v = (x @ w[start:start + size].T + b[start:start + size]
                       for start in (part * WIDTH + head * size for part in range(3)))
            logits = q @ k.T / math.sqrt(size)
            share = logits.exp() / logits.exp().sum(1, keepdim=True)
            attention.append(share)
            messages.append(share @ v)
        return self.linear(torch.cat(messages, 1), f"{name}.merge"), torch.stack(attention)

    def __call__(self, features, sets, stride):
        """Dense map, tokens per slice [(N, D)], attention per slice [(blocks, heads, N, N)]."""
        height, width = features.shape[2:]
        lengths = [len(points) for points in sets]
        pixels = torch.floor(torch.cat(sets) + 0.5)
        cells = torch.floor(pixels / stride).long()
        rows, columns = cells[:, 0].clamp(0, height - 1), cells[:, 1].clamp(0, width - 1)
        owner = torch.repeat_interleave(torch.arange(len(sets)), torch.tensor(lengths))
        place = torch.stack([rows, columns], 1).to(features) - features.new_tensor([height / 2, width / 2])
        x = self.linear(features[owner, :, rows, columns], "embed")
        x = x + self.mlp(place / (0.7 * max(height, width)), "position", 5)
        attention = []
        for block in range(BLOCKS):
            parts = [self.attend(part, f"blocks.{block}") for part in x.split(lengths)]
            attention.append([part[1] for part in parts])
            joined = torch.cat([x, torch.cat([part[0] for part in parts])], 1)
            x = x + self.mlp(joined, f"blocks.{block}.mlp", 2)
        canvas = x.new_zeros(len(sets), height, width, WIDTH)
        for b, r, c in {(int(b), int(r), int(c)) for b, r, c in zip(owner, rows, columns, strict=True)}:
            here = (owner == b) & (rows == r) & (columns == c)
            canvas[b, r, c] = x[here].mean(0)
        dense = self.norm(self.conv(canvas.permute(0, 3, 1, 2), "spread"), "spread_norm").clamp(min=0)
        dense = self.conv(dense, "diffuse")
        return dense, x.split(lengths), [torch.stack(slices) for slices in zip(*attention, strict=True)]


def run_both(case, norm, training, dtype):
    sets, stride, height, width = keypoint_sets(case)
    sets = [points.to(dtype) for points in sets]
    layer = make_layer(norm, dtype).train(training)
    reference = DenseReference(copy.deepcopy(layer))
    features = torch.randn(len(sets), CHANNELS, height, width, dtype=dtype, requires_grad=True)
    twin = features.detach().clone().requires_grad_()
    keypoints, mask = padded(sets)
    sites = find_occupied_cells(keypoints.to(dtype), mask, stride, height, width)
    dense, site_tokens, attention = layer(features, sites, capture=True)
    plain, _, uncaptured = layer.eval()(features, sites) if not training else (dense, None, None)
    assert uncaptured is None
    torch.testing.assert_close(plain, dense, rtol=1e-5, atol=1e-5)
    tokens = [part[: len(points)] for part, points in zip(sites.to_keypoints(site_tokens), sets, strict=True)]
    return layer, reference, (features, dense, tokens, attention), (twin, *reference(twin, sets, stride))


@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize("norm", ["batch", "group", "batch+layer"])
@pytest.mark.parametrize("case", CASES)
def test_the_layer_is_the_dense_formula(case, norm, training):
    layer, reference, (_, dense, tokens, attention), (_, plain, plain_tokens, plain_attention) = run_both(
        case, norm, training, torch.float32)
    # On a map of one cell all positions are equal: batch normalisation divides rounding by sqrt(eps).
    close = {"rtol": 1e-5, "atol": 2e-4 if case == "single cell" else 1e-5}
    torch.testing.assert_close(dense, plain, **close)
    for row, (mine, theirs) in enumerate(zip(tokens, plain_tokens, strict=True)):
        torch.testing.assert_close(mine, theirs, **close)
        count = len(mine)
        torch.testing.assert_close(attention[row, :, :, :count, :count], plain_attention[row], **close)
        assert not attention[row, :, :, :, count:].any(), "padding must not be attended"
    for name, value in layer.named_buffers():
        if not name.endswith("num_batches_tracked"):
            torch.testing.assert_close(value, reference.buffers[name], rtol=1e-5, atol=1e-5)


# Not one cell in training: with all positions equal, four batch norms make rounding / eps^2 of the gradient.
@pytest.mark.parametrize(("case", "training"),
                         [*((case, False) for case in CASES), *((case, True) for case in CASES[:3])])
def test_gradients_are_those_of_the_dense_formula(case, training):
    layer, reference, (features, dense, tokens, _), (twin, plain, plain_tokens, _) = run_both(
        case, "batch", training, torch.float64)
    torch.manual_seed(1)
    towards, pull = torch.randn_like(dense), [torch.randn_like(part) for part in tokens]
    for values, parts in ((dense, tokens), (plain, plain_tokens)):
        loss = (values * towards).sum() + sum((a * b).sum() for a, b in zip(parts, pull, strict=True))
        loss.backward()
    torch.testing.assert_close(features.grad, twin.grad, rtol=1e-9, atol=1e-9)
    for name, parameter in layer.named_parameters():
        torch.testing.assert_close(parameter.grad, reference.weights[name].grad, rtol=1e-9, atol=1e-9,
                                   msg=lambda text, name=name: f"{name}: {text}")
    for name, value in layer.named_buffers():
        if not name.endswith("num_batches_tracked"):
            torch.testing.assert_close(value, reference.buffers[name], rtol=1e-9, atol=1e-9)


def test_training_moves_every_running_statistic():
    layer, reference, *_ = run_both("colliding", "batch", True, torch.float32)
    before = dict(make_layer().named_buffers())
    for name, value in layer.named_buffers():
        if name.endswith("num_batches_tracked"):
            assert int(value) == 1
        else:
            assert not torch.equal(value, before[name])
    assert set(reference.buffers) == set(before)


@pytest.mark.parametrize(("height", "width"), [(7, 5), (1, 6), (6, 1), (1, 1), (2, 2)])
def test_sparse_convolution_is_the_dense_one(height, width):
    generator = torch.Generator().manual_seed(height * 10 + width)
    weight = torch.randn(3, 4, 3, 3, generator=generator, dtype=torch.float64)
    bias = torch.randn(3, generator=generator, dtype=torch.float64)
    keypoints = torch.rand(2, 6, 2, generator=generator, dtype=torch.float64)
    keypoints = keypoints * torch.tensor([height, width]) - 0.5
    mask = torch.tensor([[True] * 6, [True] * 2 + [False] * 4])
    sites = find_occupied_cells(keypoints, mask, 1, height, width)
    tokens = torch.randn(*sites.cells.shape, 4, generator=generator, dtype=torch.float64)
    canvas = torch.zeros(2, 4, height, width, dtype=torch.float64)
    for b in range(2):
        for m in range(tokens.shape[1]):
            if sites.mask[b, m]:
                canvas[b, :, int(sites.cells[b, m]) // width, int(sites.cells[b, m]) % width] = tokens[b, m]
    expected = F.conv2d(canvas, weight, bias, padding=1)
    torch.testing.assert_close(sparse_conv3x3(tokens, sites, weight, bias), expected, rtol=1e-12, atol=1e-12)


def test_sites_hold_every_keypoint_once():
    sets, stride, height, width = keypoint_sets("borders")
    keypoints, mask = padded(sets)
    sites = find_occupied_cells(keypoints, mask, stride, height, width)
    assert sites.counts.sum(1).tolist() == [8.0, 3.0, 5.0]
    cells = sites.cells.gather(1, sites.inverse)
    assert cells[0, :8].tolist() == [0, 8, 63, 71, 71, 4 * 9 + 8, 2, 7 * 9 + 4]
    assert cells[1, :3].tolist() == [2, 71, 63]
    for row in range(3):
        real = sites.cells[row][sites.mask[row]]
        assert len(real.unique()) == len(real), "one site per cell"


def test_token_norm_is_torch_batch_norm_over_the_repeated_tokens():
    torch.manual_seed(4)
    norm, plain = TokenNorm(5).double(), torch.nn.BatchNorm1d(5).double()
    tokens = torch.randn(2, 3, 5, dtype=torch.float64)
    counts = torch.tensor([[2.0, 1.0, 3.0], [4.0, 0.0, 0.0]], dtype=torch.float64)
    repeated = tokens.flatten(0, 1).repeat_interleave(counts.flatten().long(), 0)
    out = norm(tokens, counts).flatten(0, 1).repeat_interleave(counts.flatten().long(), 0)
    torch.testing.assert_close(out, plain(repeated), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(norm.running_var, plain.running_var, rtol=1e-12, atol=1e-12)
    out = norm.eval()(tokens, counts).flatten(0, 1)
    torch.testing.assert_close(out, plain.eval()(tokens.flatten(0, 1)), rtol=1e-12, atol=1e-12)
