"""Lead space: against hand-written relations and the published matrices."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from ssl_ecg.augment.functional import apply_lead_map
from ssl_ecg.augment.geometry import (
    dipole_map,
    dipole_projection,
    dower_matrix,
    electrode_matrix,
    inverse_dower_matrix,
    relation_matrix,
    relation_projection,
    rotation_matrix,
)
from ssl_ecg.errors import SignalError
from ssl_ecg.leads import LEAD_SETS, STANDARD_LEADS, derive_limb_leads, limb_residual

# As Edenbrandt and Pahlm published it: columns V1-V6, I, II.
PUBLISHED_INVERSE = np.array(
    [
        [-0.172, -0.074, 0.122, 0.231, 0.239, 0.194, 0.156, -0.010],
        [0.057, -0.019, -0.106, -0.022, 0.041, 0.048, -0.227, 0.887],
        [-0.229, -0.310, -0.246, -0.063, 0.055, 0.108, 0.022, 0.102],
    ]
)


def random_angles(n: int) -> torch.Tensor:
    return (torch.rand(n, 3, generator=torch.Generator().manual_seed(0)) - 0.5) * 2 * math.pi


def test_relations_agree_with_the_lead_module() -> None:
    eight = np.random.default_rng(0).normal(size=(8, 50)).astype(np.float32)
    twelve = relation_matrix().numpy() @ eight
    derived = derive_limb_leads({"I": eight[0], "II": eight[1]})
    for lead, values in derived.items():
        np.testing.assert_allclose(twelve[STANDARD_LEADS.index(lead)], values, atol=1e-6)
    np.testing.assert_array_equal(twelve[6:], eight[2:])


def test_relation_projection_is_the_nearest_consistent_signal() -> None:
    projection = relation_projection().double()
    torch.testing.assert_close(projection @ projection, projection, atol=1e-6, rtol=0)
    torch.testing.assert_close(projection, projection.T, atol=1e-6, rtol=0)
    x = np.random.default_rng(1).normal(size=(12, 30))
    relations = relation_matrix().double().numpy()
    nearest = relations @ np.linalg.lstsq(relations, x, rcond=None)[0]
    np.testing.assert_allclose(projection.numpy() @ x, nearest, atol=1e-5)


def test_electrodes_by_hand() -> None:
    potential = np.random.default_rng(2).normal(size=9)
    ra, la, ll, *chest = potential
    terminal = (ra + la + ll) / 3
    expected = [la - ra, ll - ra, ll - la, ra - (la + ll) / 2, la - (ra + ll) / 2, ll - (ra + la) / 2]
    expected += [electrode - terminal for electrode in chest]
    np.testing.assert_allclose(electrode_matrix().numpy() @ potential, expected, atol=1e-6)
    np.testing.assert_allclose(electrode_matrix() @ torch.ones(9), torch.zeros(12), atol=1e-6)


def test_inverse_dower_is_the_published_one() -> None:
    inverse = inverse_dower_matrix(("V1", "V2", "V3", "V4", "V5", "V6", "I", "II")).numpy()
    np.testing.assert_allclose(inverse, PUBLISHED_INVERSE, atol=5.1e-4)
    np.testing.assert_allclose(inverse_dower_matrix() @ dower_matrix(), np.eye(3), atol=1e-6)
    projection = dipole_projection()
    torch.testing.assert_close(projection @ projection, projection, atol=1e-5, rtol=1e-5)


def test_rotations_are_rotations_of_three_axes_in_turn() -> None:
    angles = random_angles(20)
    rotation = rotation_matrix(angles).double().numpy()
    for (x, y, z), matrix in zip(angles.double().tolist(), rotation, strict=True):
        about_x = [[1, 0, 0], [0, math.cos(x), -math.sin(x)], [0, math.sin(x), math.cos(x)]]
        about_y = [[math.cos(y), 0, math.sin(y)], [0, 1, 0], [-math.sin(y), 0, math.cos(y)]]
        about_z = [[math.cos(z), -math.sin(z), 0], [math.sin(z), math.cos(z), 0], [0, 0, 1]]
        np.testing.assert_allclose(matrix, np.array(about_z) @ about_y @ about_x, atol=1e-6)
        np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-6)
        assert np.linalg.det(matrix) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("residual", ["keep", "scale", "drop"])
def test_rotation_and_its_inverse_cancel_on_the_dipole(residual: str) -> None:
    rotation = rotation_matrix(random_angles(10))
    there = dipole_map(rotation, residual=residual)  # type: ignore[arg-type]
    back = dipole_map(rotation.transpose(1, 2), residual=residual)  # type: ignore[arg-type]
    dipole = torch.randn(10, 3, 40, generator=torch.Generator().manual_seed(1))
    x = dower_matrix() @ dipole
    turned = apply_lead_map(x, there)
    torch.testing.assert_close(turned, dower_matrix() @ (rotation @ dipole), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(apply_lead_map(turned, back), x, atol=1e-4, rtol=1e-4)


def test_the_rest_is_kept_scaled_or_dropped() -> None:
    x = relation_matrix() @ torch.randn(1, 8, 30, generator=torch.Generator().manual_seed(2))
    rest = x - dipole_projection() @ x
    double = 2.0 * torch.eye(3)[None]
    parts = {
        name: apply_lead_map(x, dipole_map(double, residual=name)) - 2.0 * (x - rest)  # type: ignore[arg-type]
        for name in ("keep", "scale", "drop")
    }
    for name, factor in (("keep", 1.0), ("scale", 2.0), ("drop", 0.0)):
        torch.testing.assert_close(parts[name], factor * rest, atol=1e-5, rtol=1e-5)


def test_inconsistent_limb_leads_are_made_again() -> None:
    x = torch.randn(2, 12, 60, generator=torch.Generator().manual_seed(3))
    turned = apply_lead_map(x, dipole_map(rotation_matrix(random_angles(2))))
    assert max(limb_residual(strip.numpy(), STANDARD_LEADS) for strip in turned) < 1e-4


def test_any_order_of_leads() -> None:
    maps = dipole_map(rotation_matrix(random_angles(3)))
    order = torch.randperm(12, generator=torch.Generator().manual_seed(4))
    shuffled = dipole_map(rotation_matrix(random_angles(3)), [STANDARD_LEADS[k] for k in order])
    torch.testing.assert_close(shuffled, maps[:, order][:, :, order])
    eight = dipole_map(rotation_matrix(random_angles(3)), LEAD_SETS[8])
    rows = [STANDARD_LEADS.index(lead) for lead in LEAD_SETS[8]]
    torch.testing.assert_close(eight, maps[:, rows][:, :, rows])


def test_too_few_leads_and_unknown_ones() -> None:
    with pytest.raises(SignalError, match="V3"):
        inverse_dower_matrix(("I", "II", "V1", "V2", "V4", "V5", "V6"))
    with pytest.raises(SignalError, match="unknown lead"):
        electrode_matrix(("I", "X9"))
