"""KAF's losses: the likelihood of the known correspondences, contrast of pooled keypoints, and their sum."""

from __future__ import annotations

import pytest
import torch
from method_toys import (
    ITERATIONS,
    NETWORK,
    make_batch,
    make_features,
    make_input,
    make_view,
    plain_contrast,
    plain_transport,
    random_numbers,
)
from torch.nn.functional import pad

from kaf.methods.kaf.method import Kaf, matching_loss
from kaf.methods.kaf.settings import KafSettings
from kaf.methods.registry import method_class

SETTINGS = KafSettings(width=6, token_width=8, sinkhorn=ITERATIONS, theta=0.35, image_weight=0.7, keypoint_weight=1.3,
                       local_weight=0.2, standardise=False)
COUNTS, OTHERS = (4, 2, 3), (5, 3, 1)
# First view's keypoint -> second view's, or -1.  The last real keypoint of the other view is free in slice 0.
MATCHES = [[2, -1, 0, -1], [-1, -1], [0, -1, -1]]
POSITION = torch.tensor([0.2, 0.5, 1.0], dtype=torch.float64)
HEIGHT, WIDTH = 32, 64


def plain_matching(plan, matches, count, others, settings):
    """Of one slice: 0.45 x mean of -log P over matches + 1.0 x mean of -log P over all keypoints without one."""
    def cost(row, column):
        return -min(0.0, max(-100.0, float(plan[row, column])))

    matched = [cost(a, b) for a, b in enumerate(matches) if b >= 0]
    lonely = [cost(a, -1) for a in range(count) if matches[a] < 0]
    lonely += [cost(-1, b) for b in range(others) if b not in matches]
    return (settings.matched_share * sum(matched) / max(1, len(matched))
            + settings.unmatched_share * sum(lonely) / max(1, len(lonely)))


def table(longest=4):
    rows = torch.full((3, longest), -1)
    for item, matches in enumerate(MATCHES):
        rows[item, :len(matches)] = torch.tensor(matches)
    return rows


def mask_of(counts, longest):
    return torch.tensor([[index < count for index in range(longest)] for count in counts])


def test_the_matching_loss_is_the_likelihood_one_keypoint_at_a_time():
    log_p = -3 * random_numbers(3, 5, 6).abs()
    log_p[0, 0, 2], log_p[2, 0, 0], log_p[0, 1, -1] = -400.0, 0.3, -1e4  # clamped to [-100, 0]
    found = matching_loss(log_p, table(), mask_of(COUNTS, 4), mask_of(OTHERS, 5), SETTINGS)
    for item, (count, others) in enumerate(zip(COUNTS, OTHERS, strict=True)):
        plan = log_p[item][[*range(count), 4]][:, [*range(others), 5]]
        assert float(found[item]) == pytest.approx(plain_matching(plan, MATCHES[item], count, others, SETTINGS))


def test_a_keypoint_without_a_match_goes_to_the_dustbin_and_not_to_the_last_keypoint():
    """An index of -1 must not count from the end."""
    log_p = torch.full((1, 4, 4), -2.0, dtype=torch.float64, requires_grad=True)
    there = torch.ones(1, 3, dtype=torch.bool)
    matching_loss(log_p, torch.tensor([[1, -1, -1]]), there, there, SETTINGS).sum().backward()
    asked = {(int(row), int(column)) for _, row, column in log_p.grad.nonzero()}
    assert asked == {(0, 1), (1, 3), (2, 3), (3, 0), (3, 2)}


def test_everything_matched_and_nothing_matched():
    log_p = -random_numbers(1, 4, 4).abs()
    there = torch.ones(1, 3, dtype=torch.bool)
    for matches in ([2, 0, 1], [-1, -1, -1]):
        found = matching_loss(log_p, torch.tensor([matches]), there, there, SETTINGS)
        assert float(found) == pytest.approx(plain_matching(log_p[0], matches, 3, 3, SETTINGS))


def make_method_and_input(extra=0, order=(0, 1, 2), longest=(4, 5)):
    """The method with fixed weights, and a given of three slices with ``extra`` padded keypoints of nonsense."""
    torch.manual_seed(1)
    method = method_class("kaf")(SETTINGS, NETWORK).double().eval()
    assert isinstance(method, Kaf)
    for module in method.modules():  # statistics that are not those of a new network
        if hasattr(module, "running_mean"):
            module.running_mean += 0.3
            module.running_var *= 1.7
    order = list(order)
    image = torch.zeros(3, 1, HEIGHT, WIDTH)
    views, features = {}, {}
    for number, (name, counts) in enumerate((("anchor", COUNTS), ("neighbour", OTHERS))):
        most = longest[number]
        keypoints = 30 * random_numbers(3, most, 2, seed=10 + number).abs()
        tokens = [random_numbers(3, most, 8, seed=20 + 4 * number + scale) for scale in range(4)]
        mask = mask_of(counts, most)
        views[name] = make_view(image, keypoints=pad(keypoints, (0, 0, 0, extra), value=77.0)[order],
                                mask=pad(mask, (0, extra))[order])
        features[name] = make_features(random_numbers(3, 64, 2, 4, seed=30 + number)[order],
                                       [pad(t, (0, 0, 0, extra), value=5.0)[order] for t in tokens])
    batch = make_batch(views, POSITION[order], pad(table(), (0, extra), value=-1)[order])
    return method, make_input(batch, features)


def test_the_loss_is_the_weighted_sum_of_its_plain_terms():
    method, given = make_method_and_input()
    seen = {}
    method.matcher.register_forward_hook(lambda _, given, scores: seen.update(given=given, scores=scores))
    outcome = method(given)

    images, pooled = [], []
    for name, counts in (("anchor", COUNTS), ("neighbour", OTHERS)):
        features = given.features[name]
        for item, count in enumerate(counts):
            images.append(method.image_head(features.bottleneck[item:item + 1])[0])
            own = [method.join.weight @ torch.cat([t[item, k] for t in features.tokens]) + method.join.bias
                   for k in range(count)]
            pooled.append(sum(own) / count)
    first, norm, _, last, _ = method.token_head
    around = []
    for mean in pooled:
        hidden = first.weight @ mean + first.bias
        hidden = (hidden - norm.running_mean) / (norm.running_var + norm.eps).sqrt() * norm.weight + norm.bias
        around.append(last.weight @ hidden.clamp(min=0) + last.bias)

    def close(i, k):
        return abs(float(POSITION[i % 3] - POSITION[k % 3])) < 0.35

    matching, right = 0.0, 0
    for item, (count, others) in enumerate(zip(COUNTS, OTHERS, strict=True)):
        plan = plain_transport(seen["scores"][item, :count, :others], method.matcher.dustbin.double())
        matching += plain_matching(plan, MATCHES[item], count, others, SETTINGS) / 3
        right += sum(b >= 0 and int(plan[a].argmax()) == b for a, b in enumerate(MATCHES[item]))
    expected = {"image contrast": plain_contrast(torch.stack(images), close, 0.1),
                "keypoint contrast": plain_contrast(torch.stack(around), close, 0.1), "matching": matching}
    for name, value in expected.items():
        assert float(outcome.terms[name]) == pytest.approx(value, rel=1e-5), name
    total = sum(weight * value for weight, value in zip((0.7, 1.3, 0.2), expected.values(), strict=True))
    assert float(outcome.loss.detach()) == pytest.approx(total, rel=1e-5)
    assert float(outcome.terms["matched keypoints"]) == pytest.approx(1.0)  # 3 matches in 3 slices
    assert float(outcome.terms["inliers"]) == pytest.approx(right / 3)
    chances = [1 / (others + 1) for item, others in enumerate(OTHERS) for b in MATCHES[item] if b >= 0]
    assert float(outcome.terms["inliers by chance"]) == pytest.approx(sum(chances) / 3)

    # Positions pair rows with the height and columns with the width (the released code swaps them).
    _, places, masks = seen["given"]
    for number, name in enumerate(("anchor", "neighbour")):
        row, column = given.batch.views[name].keypoints[1, 0].tolist()
        scaled = ((row - HEIGHT / 2) / (0.7 * WIDTH), (column - WIDTH / 2) / (0.7 * WIDTH))
        assert places[number][1, 0].tolist() == pytest.approx(scaled)
        assert torch.equal(masks[number], given.batch.views[name].mask)


def losses(*arguments, **more):
    method, given = make_method_and_input(*arguments, **more)
    return {name: float(value) for name, value in method(given).terms.items()}


def test_padding_changes_nothing():
    assert losses(extra=3) == pytest.approx(losses(), abs=1e-6)


def test_the_order_of_the_batch_changes_nothing():
    assert losses(order=(2, 0, 1)) == pytest.approx(losses(), abs=1e-6)


def test_the_order_of_keypoints_changes_nothing():
    method, given = make_method_and_input()
    expected = {name: float(value) for name, value in method(given).terms.items()}
    first, second = torch.tensor([3, 1, 0, 2]), torch.tensor([1, 4, 0, 2, 3])
    for name, order in (("anchor", first), ("neighbour", second)):
        view, features = given.batch.views[name], given.features[name]
        view.keypoints, view.mask = view.keypoints[:, order], view.mask[:, order]
        features.tokens = [tokens[:, order] for tokens in features.tokens]
    new_place = torch.argsort(second)
    moved = torch.where(given.batch.matches >= 0, new_place[given.batch.matches.clamp(min=0)], -1)
    given.batch.matches = moved[:, first]
    assert {name: float(value) for name, value in method(given).terms.items()} == pytest.approx(expected, abs=1e-6)


def test_the_matcher_treats_both_views_alike():
    """Swapped views give the transposed scores, and a slice's scores do not depend on its batch-mates."""
    method, given = make_method_and_input()
    tokens = [method.join(torch.cat(given.features[name].tokens, -1)) for name in ("anchor", "neighbour")]
    places = [given.batch.views[name].keypoints / 40 for name in ("anchor", "neighbour")]
    masks = [given.batch.views[name].mask for name in ("anchor", "neighbour")]
    scores = method.matcher(tokens, places, masks)
    assert torch.allclose(method.matcher(tokens[::-1], places[::-1], masks[::-1]).transpose(1, 2), scores)
    alone = method.matcher([t[1:2, :3] for t in tokens], [p[1:2, :3] for p in places], [m[1:2, :3] for m in masks])
    assert torch.allclose(alone[0, :2, :3], scores[1, :2, :3])
    other = [tokens[0], tokens[1] + masks[1][..., None] * random_numbers(3, 5, 8)]
    assert not torch.allclose(method.matcher(other, places, masks)[0, :4, :5], scores[0, :4, :5]), "it looks across"


@pytest.mark.parametrize(("norms", "by_itself"), [({"norm": "group"}, True), ({"token_norm": "layer"}, True),
                                                  ({}, False), ({"norm": "group", "token_norm": "batch"}, False)])
def test_under_group_normalisation_the_matcher_normalises_each_token_by_itself(norms, by_itself):
    """In training the scores of a pair of slices are then those that it has without the others."""
    torch.manual_seed(1)
    matcher = method_class("kaf")(SETTINGS, NETWORK.model_copy(update=norms)).double().train().matcher
    _, given = make_method_and_input()
    tokens = [random_numbers(3, most, 8, seed=most) for most in (4, 5)]
    places = [given.batch.views[name].keypoints / 40 for name in ("anchor", "neighbour")]
    masks = [given.batch.views[name].mask for name in ("anchor", "neighbour")]
    scores = matcher(tokens, places, masks)
    alone = matcher([t[:1] for t in tokens], [p[:1] for p in places], [m[:1] for m in masks])
    assert torch.allclose(alone[0, :4, :5], scores[0, :4, :5]) == by_itself


def test_gradients_reach_every_head_and_every_scale():
    method, given = make_method_and_input()
    method.train()
    for features in given.features.values():
        features.bottleneck.requires_grad_()
        for tokens in features.tokens:
            tokens.requires_grad_()
    method(given).loss.backward()
    for name, parameter in method.named_parameters():
        assert torch.isfinite(parameter.grad).all(), name
    assert float(method.matcher.dustbin.grad.abs()) > 0
    for name, counts in (("anchor", COUNTS), ("neighbour", OTHERS)):
        for tokens in given.features[name].tokens:
            for item, count in enumerate(counts):
                assert (tokens.grad[item, :count].abs().sum(1) > 0).all()
                assert not tokens.grad[item, count:].any(), "padding learns nothing"


def test_weights_of_zero_leave_terms_out():
    torch.manual_seed(1)
    alone = method_class("kaf")(SETTINGS.model_copy(update={"local_weight": 0.0}), NETWORK).double().eval()
    _, given = make_method_and_input()
    outcome = alone(given)
    assert set(outcome.terms) == {"image contrast", "keypoint contrast"}


def test_a_network_without_keypoints_is_refused_as_a_message():
    for change in ({"fusion": "none"}, {"scales": (False,) * 4}):
        with pytest.raises(ValueError, match="needs a network with keypoint fusion"):
            method_class("kaf")(SETTINGS, NETWORK.model_copy(update=change))
    fewer = method_class("kaf")(SETTINGS, NETWORK.model_copy(update={"scales": (False, True, True, False)}))
    assert isinstance(fewer, Kaf)
    assert fewer.join.in_features == 16
