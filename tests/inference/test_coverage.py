"""Few images that stand for many."""

import itertools

import numpy as np
import pytest

from imjax.inference.coverage import choose_covering, describe_look


def cover_slowly(need, looks, known, chosen):
    """Coverage of chosen images, pair by pair."""
    rows = np.array([*looks, *known], float)
    rows = (rows - rows.mean(0)) / (rows.std(0) + 1e-6)
    distances = [[np.sqrt(((a - b) ** 2).mean()) for b in rows] for a in rows]
    unit = np.mean([sorted(row)[1:6] for row in distances])
    taken = [*chosen, *range(len(need), len(rows))]
    best = [
        max([np.exp(-((distances[i][j] / unit) ** 2)) for j in taken], default=0) for i in range(len(need))
    ]
    return float(np.dot(need, best))


def test_choice_is_the_greedy_one():
    """Each index is the one that adds most to the coverage computed pair by pair."""
    draw = np.random.default_rng(0)
    need, looks, known = draw.uniform(0, 1, 12), draw.normal(0, 1, (12, 4)), list(draw.normal(0, 1, (3, 4)))
    chosen = choose_covering(need, looks, known, 4)
    for k, index in enumerate(chosen):
        worth = {
            i: cover_slowly(need, looks, known, [*chosen[:k], i]) for i in range(12) if i not in chosen[:k]
        }
        assert worth[index] == pytest.approx(max(worth.values()), rel=1e-5)


def test_greedy_choice_is_near_the_best_pair():
    draw = np.random.default_rng(1)
    need, looks = draw.uniform(0, 1, 9), draw.normal(0, 1, (9, 3))
    best = max(cover_slowly(need, looks, [], pair) for pair in itertools.combinations(range(9), 2))
    # 1 - 1/e is the bound for greedy choices of a submodular worth.
    assert cover_slowly(need, looks, [], choose_covering(need, looks, [], 2)) >= (1 - 1 / np.e) * best


def test_an_image_of_a_large_group_comes_before_a_worse_one_of_its_kind():
    looks = np.array([[0.0], [0.05], [0.1], [0.15], [9.0]])
    assert choose_covering(np.array([0.5, 0.5, 0.5, 0.5, 0.9]), looks, [], 1) in ([1], [2])
    assert 4 in choose_covering(np.array([0.5, 0.5, 0.5, 0.5, 0.9]), looks, [], 2)


def test_few_images():
    assert choose_covering(np.zeros(0), np.zeros((0, 3)), [], 5) == []
    assert choose_covering(np.ones(1), np.zeros((1, 3)), [], 5) == [0]
    # Nothing is in need: still as many as were asked for, each once.
    assert sorted(choose_covering(np.zeros(3), np.eye(3), [], 2)) == [0, 1]
    assert sorted(choose_covering(np.ones(3), np.ones((3, 2)), [], 9)) == [0, 1, 2]


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_look_of_any_number_of_channels(channels):
    """Hand-worked for an image of one value: no contrast, no edges."""
    look = describe_look(np.full((8, 16, channels), 7, np.uint8))
    expected = [7] * channels + [0] * channels + [7] * 6 + [0] * 8 + [np.log(16)]
    np.testing.assert_allclose(look, expected, atol=1e-5)
    assert look.dtype == np.float32


@pytest.mark.parametrize("channels", [1, 4])
def test_large_images_are_described_by_a_smaller_copy(channels):
    draw = np.random.default_rng(0)
    # Structures of eight pixels, which a copy of half the size still has.
    small = draw.integers(0, 256, (32, 256, channels), np.uint8)
    image = small.repeat(8, 0).repeat(8, 1)
    look = describe_look(image)
    assert look[-1] == pytest.approx(np.log(2048))
    np.testing.assert_allclose(look[:channels], image.mean((0, 1)), atol=0.5)


def test_texture_tells_images_of_equal_brightness_apart():
    fine = np.indices((32, 32)).sum(0) % 2 * 100
    coarse = np.indices((32, 32)).sum(0) // 8 % 2 * 100
    a, b, shifted = (
        describe_look(x[..., None].astype(np.uint8)) for x in (fine, coarse, np.roll(fine, 1, 0))
    )
    np.testing.assert_allclose(a, shifted, atol=0.2)
    assert np.abs(a - b)[-9:-1].max() > 0.5
