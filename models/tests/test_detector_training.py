"""The detector's training: decoded cells, the loss, the learning rate. Skipped where PyTorch is absent."""
# ruff: noqa: E402  torch is optional here and must be looked for before what needs it

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from lpr_train.detector_loss import Targets, detector_loss
from lpr_train.detector_net import Detector, DetectorExport, decode
from lpr_train.detector_train import learning_rate

# Tiny tensors: threads only wait for each other on a busy machine.
torch.set_num_threads(1)


def targets(quads: np.ndarray, exact: bool) -> Targets:
    count = len(quads)
    return Targets(
        image=torch.zeros(count, dtype=torch.long),
        quads=torch.from_numpy(quads.astype(np.float32)),
        exact=torch.full((count,), exact),
        rows=torch.zeros(count, dtype=torch.long),
        ignore_image=torch.zeros(1, dtype=torch.long),
        ignore=torch.tensor([[0.0, 0.0, 20.0, 20.0]]),
    )


def test_cells_decode_to_their_own_place():
    maps = [torch.zeros(1, 10, 8, 16), torch.zeros(1, 10, 4, 8)]
    _, corners, cells = decode(maps)
    assert corners.shape == (1, 8 * 16 + 4 * 8, 8)
    assert torch.equal(corners[0, :, :2], cells[:, :2])
    assert cells[0].tolist() == [4.0, 4.0, 8.0] and cells[-1].tolist() == [120.0, 56.0, 16.0]


@pytest.mark.parametrize("exact", [True, False])
def test_loss_learns_the_corners_of_one_plate(exact):
    torch.manual_seed(1)
    net = Detector((8, 8, 16, 16, 16), neck=16)
    image = torch.full((1, 3, 64, 128), 0.2)
    image[:, :, 24:40, 40:88] = 0.9
    quad = np.array([[[40, 24], [88, 24], [88, 40], [40, 40]]])
    optimizer = torch.optim.AdamW(net.parameters(), 5e-3)
    weights = {"score": 1.0, "giou": 1.0, "corner": 1.0, "rows": 0.3}
    for _ in range(120):
        loss, _ = detector_loss(net(image), targets(quad, exact), weights)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        rows = DetectorExport(net)(image)[0]
    best = rows[rows[:, 0].argmax()]
    assert best[0] > 0.3
    found = best[2:].reshape(4, 2).numpy()
    assert np.abs(found.min(0) - [40, 24]).max() < 6 and np.abs(found.max(0) - [88, 40]).max() < 6


def test_image_without_plates_has_a_finite_loss():
    net = Detector((8, 8, 16, 16, 16), neck=16)
    loss, parts = detector_loss(
        net(torch.rand(1, 3, 64, 64)),
        targets(np.zeros((0, 4, 2)), True),
        {"score": 1.0, "giou": 1.0, "corner": 1.0, "rows": 0.3},
    )
    assert torch.isfinite(loss) and set(parts) == {"score"}


def test_rate_warms_up_stays_and_falls():
    config = {"images": 1000, "decay": 0.4, "warmup_images": 100, "learning_rate": 1.0}
    assert learning_rate(config, 0) < 0.02
    assert learning_rate(config, 300) == 1.0
    assert learning_rate(config, 800) == pytest.approx(0.5)
    assert learning_rate(config, 1000) == pytest.approx(0.02)
