"""LRC: contrast between the regions of a slice seen twice, region by region."""

from __future__ import annotations

import math

import pytest
import torch
from method_toys import (
    NETWORK,
    decoder_maps,
    make_batch,
    make_features,
    make_input,
    make_view,
    plain_contrast,
    random_numbers,
)

from kaf.methods.lrc.method import Lrc, draw_pixels, region_contrast, region_means
from kaf.methods.lrc.settings import LrcSettings

ALL = 512  # more pixels than any region has: all of them are drawn


def test_every_region_gives_at_most_so_many_of_its_own_pixels():
    ids = torch.tensor([3, 3, -1, 0, 3, 3, 7, -1, 0, 3])
    keys = torch.rand(10, generator=torch.Generator().manual_seed(1))
    drawn = draw_pixels(ids, keys, 2)
    assert len(set(drawn.tolist())) == len(drawn)
    assert {int(i): int((ids[drawn] == i).sum()) for i in (3, 0, 7, -1)} == {3: 2, 0: 2, 7: 1, -1: 0}
    of_three = sorted((float(keys[i]), i) for i in range(10) if ids[i] == 3)[:2]
    assert {i for _, i in of_three} <= set(drawn.tolist())
    assert draw_pixels(torch.full((4,), -1), keys[:4], 2).tolist() == []
    assert draw_pixels(ids[:0], keys[:0], 2).tolist() == []


def test_all_pixels_of_a_region_are_drawn_equally_often():
    """Chi-square of 7 pixels, 3 at a time: the 0.999 quantile with 6 degrees of freedom is 22.5."""
    ids, times = torch.tensor([1, 0, 1, 1, 0, 1, 1, 1, 1]), torch.zeros(9)
    random = torch.Generator().manual_seed(0)
    for _ in range(1400):
        times[draw_pixels(ids, torch.rand(9, generator=random), 3)] += 1
    assert times[ids == 0].tolist() == [1400, 1400]
    assert float(((times[ids == 1] - 600) ** 2 / 600).sum()) < 22.5


def test_means_of_regions():
    values, ids = random_numbers(6, 2), torch.tensor([2, 0, 2, 2, 0, 3])
    found = region_means(values, ids, 4)
    assert torch.allclose(found[2], values[[0, 2, 3]].mean(0))
    assert torch.allclose(found[0], values[[1, 4]].mean(0))
    assert torch.equal(found[3], values[5])
    assert not found[1].any()


def plain_region_contrast(first, second, slices, ignored, temperature):
    """Per region, InfoNCE from each view to the other; negatives are other regions of the slice, but the ignored."""
    def alike(a, b):
        return math.exp(float((a @ b / (a.norm() * b.norm())).detach()) / temperature)

    losses = []
    for k in range(len(first)):
        negatives = [j for j in range(len(first)) if j != k and slices[j] == slices[k] and not ignored[k][j]]
        own = alike(first[k], second[k])
        forth = -math.log(own / (own + sum(alike(first[k], second[j]) for j in negatives)))
        back = -math.log(own / (own + sum(alike(first[j], second[k]) for j in negatives)))
        losses.append((forth + back) / 2)
    return losses


def test_the_contrast_of_regions_is_its_formula():
    first, second = random_numbers(6, 4), random_numbers(6, 4, seed=1)
    slices = torch.tensor([0, 0, 0, 1, 1, 2])
    ignored = torch.zeros(6, 6, dtype=torch.bool)
    ignored[0, 2] = ignored[2, 0] = True
    found = region_contrast(first, second, slices, ignored, 0.2)
    assert found.tolist() == pytest.approx(plain_region_contrast(first, second, slices, ignored, 0.2))
    assert float(found[5]) == pytest.approx(0), "alone in its slice there is nothing to tell it from"
    assert torch.autograd.gradcheck(
        lambda a: region_contrast(a, second[:3], slices[:3], ignored[:3, :3], 0.5), (first[:3].requires_grad_(),))


HEIGHT, WIDTH = 16, 32


def regions_of(seed, shift=0):
    """(HEIGHT, WIDTH) blocks of 8 x 8 numbered 0 .. 7, the first of them air (-1), moved to the right."""
    rows, columns = torch.arange(HEIGHT) // 8, torch.arange(WIDTH) // 8
    numbers = rows[:, None] * 4 + columns[None, :]
    order = torch.randperm(8, generator=torch.Generator().manual_seed(seed))
    numbers = torch.where(numbers == 0, -1, order[numbers])
    return torch.cat([torch.full((HEIGHT, shift), -1), numbers[:, :WIDTH - shift]], 1)


def input_at(level, items=(0, 1, 2), steps=(40, 41, 42)):
    """Three slices: the second view is moved by 12 pixels, so that some regions are in one view only."""
    stride = 2 ** level
    views, features = {}, {}
    for number, name in enumerate(("anchor", "again")):
        numbers = torch.stack([regions_of(i, 12 * number) for i in items])
        valid = torch.ones(3, HEIGHT, WIDTH, dtype=torch.bool)
        valid[1, 12:] = False
        # Brightness by region, so that neighbours differ but for those that are alike on purpose.
        bright = torch.tensor([0.0, 0.1, 2.0, 4.0, 6.0, 8.0, 10.0, 12.0], dtype=torch.float64)
        image = torch.where(numbers >= 0, bright[numbers.clamp(min=0)], -3.0)[:, None].repeat(1, 3, 1, 1)
        image[:, 0] = image[:, 2] = 1.0  # neighbouring slices say nothing about these regions
        views[name] = make_view(image, valid=valid[list(items)], regions=numbers)
        maps = torch.cat([random_numbers(1, 4 * stride, 32 // stride, 32 // stride, seed=50 + i + 10 * number)
                          for i in items])
        features[name] = make_features(decoder=decoder_maps(level, maps))
    batch = make_batch(views)
    batch.seeds = torch.tensor([steps[i] for i in items])
    return make_input(batch, features)


def make_lrc(level=1, samples=ALL, regions="superpixels"):
    torch.manual_seed(0)
    return Lrc(LrcSettings(level=level, samples=samples, width=5, hidden=6, regions=regions), NETWORK).double()


def plain_means(lrc, given, name, level):
    """(slice, region) -> mean embedding over the cells whose middle pixel lies in the region and in the slice."""
    stride, view = 2 ** level, given.batch.views[name]
    one, _, two = lrc.head
    found = {}
    for item in range(3):
        for row in range(HEIGHT // stride):
            for column in range(WIDTH // stride):
                at = row * stride + stride // 2, column * stride + stride // 2
                region = int(view.regions[item][at])
                if region < 0 or not view.valid[item][at]:
                    continue
                pixel = given.features[name].decoder[3 - level][item, :, row, column]
                hidden = (one.weight[:, :, 0, 0] @ pixel + one.bias).clamp(min=0)
                found.setdefault((item, region), []).append(two.weight[:, :, 0, 0] @ hidden + two.bias)
    return {key: sum(values) / len(values) for key, values in found.items()}


def touching_and_alike(view, level, one, two):
    """Whether two regions of the first view share a side and differ by less than a quarter in brightness."""
    item, a, b = one[0], one[1], two[1]
    if two[0] != item or abs(float(view.image[item, 1][view.regions[item] == a].mean()
                                   - view.image[item, 1][view.regions[item] == b].mean())) >= 0.25:
        return False
    step = 2 ** level
    cells = torch.where(view.valid[item], view.regions[item], -1)[step // 2::step, step // 2::step]
    pairs = [*zip(cells[1:].flatten().tolist(), cells[:-1].flatten().tolist(), strict=True),
             *zip(cells[:, 1:].flatten().tolist(), cells[:, :-1].flatten().tolist(), strict=True)]
    return (a, b) in pairs or (b, a) in pairs


@pytest.mark.parametrize("level", [0, 1, 2])
def test_the_loss_is_the_mean_over_regions_that_both_views_show(level):
    lrc, given = make_lrc(level), input_at(level)
    first, second = (plain_means(lrc, given, name, level) for name in ("anchor", "again"))
    shared = sorted(first.keys() & second.keys())
    assert len(shared) < len(first), "some regions are in one view only"
    ignored = [[touching_and_alike(given.batch.views["anchor"], level, a, b) for b in shared] for a in shared]
    assert sum(map(sum, ignored)) >= 2, "some look alike"
    expected = plain_region_contrast([first[k] for k in shared], [second[k] for k in shared],
                                     [k[0] for k in shared], ignored, 0.1)
    outcome = lrc(given)
    assert float(outcome.loss.detach()) == pytest.approx(sum(expected) / len(expected))
    assert float(outcome.terms["regions"]) == pytest.approx(len(shared) / 3)
    assert lrc.trains == ("encoder", "decoder")


def test_with_labels_the_same_label_is_alike_in_all_slices():
    lrc, given = make_lrc(regions="labels"), input_at(1)
    first, second = (plain_means(lrc, given, name, 1) for name in ("anchor", "again"))
    shared = sorted(first.keys() & second.keys())
    labels = [label for _, label in shared] * 2
    expected = plain_contrast(torch.stack([first[k] for k in shared] + [second[k] for k in shared]),
                              lambda i, k: labels[i] == labels[k], 0.1)
    assert float(lrc(given).loss.detach()) == pytest.approx(expected)


def losses(samples=ALL, **given):
    return float(make_lrc(samples=samples)(input_at(1, **given)).loss.detach())


def test_pixels_are_drawn_anew_at_every_step_and_the_same_for_a_step():
    assert losses(samples=3) == losses(samples=3)
    assert losses(samples=3) != losses(samples=3, steps=(50, 51, 52))
    assert losses(samples=3) != losses(samples=4)


def test_the_order_of_the_batch_does_not_matter():
    assert losses(items=(2, 0, 1)) == pytest.approx(losses())
    assert losses(samples=3, items=(2, 0, 1)) == pytest.approx(losses(samples=3))


def test_gradients_reach_both_views():
    lrc, given = make_lrc(samples=3), input_at(1)
    for features in given.features.values():
        features.decoder[2].requires_grad_()
    lrc(given).loss.backward()
    assert all(f.decoder[2].grad.abs().sum() > 0 for f in given.features.values())
    assert all(torch.isfinite(p.grad).all() for p in lrc.parameters())
    hidden = torch.zeros(16, 16, dtype=torch.bool)
    hidden[8:] = hidden[:2, :4] = True  # below the slice, and in air
    assert not given.features["anchor"].decoder[2].grad[0, :, hidden].any()


@pytest.mark.parametrize("regions", ["superpixels", "labels"])
def test_slices_without_regions_are_no_error(regions):
    lrc, given = make_lrc(regions=regions), input_at(1)
    for view in given.batch.views.values():
        view.regions[:] = -1
    loss = lrc(given).loss
    assert float(loss.detach()) == 0
    loss.backward()
    for view in given.batch.views.values():  # one region in one slice: nothing to tell it from
        view.regions[1, :8, :8] = 0
    assert float(lrc(given).loss.detach()) == pytest.approx(0, abs=1e-6)


def test_regions_of_many_slices_never_meet():
    """The largest number a superpixel may have belongs to its own slice."""
    lrc, given = make_lrc(), input_at(1)
    expected = float(lrc(given).loss.detach())
    for view in given.batch.views.values():
        view.regions = torch.where(view.regions >= 0, view.regions + 2 ** 16 - 9, -1)
    assert float(lrc(given).loss.detach()) == pytest.approx(expected)
    given = input_at(1)
    for view in given.batch.views.values():  # numbers that are 4096 less in the next slice
        view.regions = torch.where(view.regions >= 0, view.regions + torch.tensor([8192, 4096, 0])[:, None, None], -1)
    assert float(lrc(given).loss.detach()) == pytest.approx(expected)
