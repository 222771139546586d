"""Five methods of at most 40 lines each show what the contract of `functional.base` can express.

SwAV has crops of two sizes, queues, a projection and frozen prototypes. MAE has masks and tokens. LeJEPA draws random
directions at every step. DINO has a centre, schedules, a frozen last layer and a teacher that it publishes. Rotation
prediction draws a number per image. They prove the contract; they are not full implementations of the methods.
"""

from functools import cache, partial
from pathlib import Path

import pytest
import torch
from contract.sketches.dino import cross_entropy, dino
from contract.sketches.lejepa import disagreement, lejepa, sigreg
from contract.sketches.mae import mae, patch_error, patchify
from contract.sketches.rotation import rotation
from contract.sketches.small_vit import positions, small_vit, transformer
from contract.sketches.swav import sinkhorn, swapped, swav
from torch import nn
from torch.nn.functional import interpolate

from functional import augmentations, layers, optimizers, queues, random, schedules, training, tree
from functional.base import Batch, Encoder
from functional.numerics import l2_normalize
from functional.streams import Stream, image_keys

FROZEN = 3  # steps
STEPS = 12
DECAY = schedules.cosine(0.04, 30, final=0.4)

NET = layers.serial(
    conv1=layers.conv(1, 8, 3, stride=2, padding=1, bias=False),
    bn1=layers.batch_norm(8),
    relu1=layers.relu,
    conv2=layers.conv(8, 12, 3, padding=1),
    relu2=layers.relu,
    pool=layers.global_average_pool,
)
CONVOLUTIONAL, VIT = Encoder(*NET, 12), small_vit(patch=2)
DRAWING = Encoder(*layers.serial(net=NET, dropout=layers.dropout(0.5)), 12)


def crop(size, low, high):
    return partial(augmentations.random_resized_crop, size=size, scale=(low, high), flip=0.5)


LARGE, SMALL, LOCAL = crop(8, 0.4, 1.0), crop(4, 0.1, 0.4), crop(8, 0.1, 0.4)


def swav_and_optimizer(encoder=CONVOLUTIONAL):
    method = swav(encoder, views=(LARGE, LARGE, SMALL, SMALL, SMALL, SMALL), queue_size=32)
    sgd = optimizers.sgd(0.1, momentum=0.5, weight_decay=1e-4)
    groups = optimizers.grouped(("prototypes.*", optimizers.freeze(sgd, FROZEN)), ("*", sgd))
    return method, optimizers.project(groups, method.project)


def mae_and_optimizer(encoder=VIT):
    mask = optimizers.exclude_bias_and_norm
    return mae(encoder, views=crop(8, 0.2, 1.0), patch=2), optimizers.adamw(3e-3, betas=(0.9, 0.95), mask=mask)


def lejepa_and_optimizer(encoder=CONVOLUTIONAL):
    return lejepa(encoder, views=(LARGE, LARGE, LOCAL, LOCAL)), optimizers.adamw(3e-3)


def dino_and_optimizer(encoder=CONVOLUTIONAL):
    temperature, momentum = schedules.linear(0.04, 0.07, 10), schedules.cosine(0.9, 30, final=1.0)
    method = dino(encoder, views=(LARGE, LARGE, SMALL, SMALL), temperature=temperature, momentum=momentum)
    adamw = partial(optimizers.adamw, 3e-3, mask=optimizers.exclude_bias_and_norm)
    last = optimizers.freeze(adamw(weight_decay=schedules.shift(DECAY, FROZEN)), FROZEN)
    groups = optimizers.grouped(("head.last.*", last), ("*", adamw(weight_decay=DECAY)))
    return method, optimizers.clip_by_norm(groups, 3.0)


def rotation_and_optimizer(encoder=CONVOLUTIONAL):
    return rotation(encoder, views=augmentations.horizontal_flip), optimizers.sgd(0.1, momentum=0.9)


SKETCHES = {
    "swav": swav_and_optimizer,
    "mae": mae_and_optimizer,
    "lejepa": lejepa_and_optimizer,
    "dino": dino_and_optimizer,
    "rotation": rotation_and_optimizer,
}
FROZEN_LEAVES = {"swav": "prototypes.weight", "dino": "head.last.weight"}
every_sketch = pytest.mark.parametrize("name", SKETCHES)


def keys(seed):
    """For the start, and for the epoch."""
    return random.split(random.key(seed))


def draw_batch(n=16):
    """Four random pixels per image, enlarged; without labels."""
    corners = random.uniform(random.key(5), (n, 1, 2, 2))
    return Batch(interpolate(corners, size=(8, 8), mode="bilinear"), None, torch.arange(n))


def to_double(trees):
    return tree.map(lambda x: x.double() if x.is_floating_point() else x, trees)


def start(name, seed=0):
    """The method, its training step, and the state before the first step."""
    method, optimizer = SKETCHES[name]()
    key_init, _ = keys(seed)
    return method, training.make_train_step(method.loss, optimizer), training.init(method, optimizer, key_init)


@cache
def train(name):
    """The method, the training states from before the first step to after the last, and what was logged."""
    method, step, state = start(name)
    states, infos = [state], []
    for _ in range(STEPS):
        state, info = step(states[-1], keys(0)[1], draw_batch())
        states.append(state)
        infos.append(info)
    return method, states, infos


def loss_of(method, params, state, step=0, **changes):
    batch = draw_batch()._replace(step=torch.tensor(step), **changes)
    return method.loss(params, state, keys(0)[1], batch)


@every_sketch
def test_a_sketch_has_at_most_40_lines(name):
    lines = (Path(__file__).parent / "sketches" / f"{name}.py").read_text().splitlines()
    assert sum(bool(line.strip()) for line in lines) <= 40


@every_sketch
def test_training_moves_every_parameter_and_lowers_the_loss(name):
    method, states, infos = train(name)
    assert all(torch.isfinite(leaf).all() for leaf in tree.leaves((states[-1], infos)))
    before, after = (tree.flatten(states[i].params) for i in (0, -1))
    assert [leaf for leaf in before if torch.equal(before[leaf], after[leaf])] == []
    # Both on the last state: DINO's loss rises until the centre has settled.
    old, new = (loss_of(method, states[i].params, states[-1].state, step=STEPS)[0] for i in (0, -1))
    assert new < 0.95 * old


@pytest.mark.parametrize("name", FROZEN_LEAVES)
def test_what_is_frozen_stays_to_the_bit_and_then_moves(name):
    _, states, _ = train(name)
    frozen = [tree.flatten(state.params)[FROZEN_LEAVES[name]] for state in states]
    assert [torch.equal(frozen[0], leaf) for leaf in frozen] == (FROZEN + 1) * [True] + (STEPS - FROZEN) * [False]


@every_sketch
def test_the_published_encoder_gives_features(name):
    method, states, _ = train(name)
    encoder = VIT if name == "mae" else CONVOLUTIONAL
    params, batch_stats = method.encoder(states[-1].params, states[-1].state)
    features, _ = encoder.apply(params, batch_stats, draw_batch().images)
    assert features.shape == (16, encoder.feature_dim) and torch.isfinite(features).all()
    published = states[-1].state.teacher if name == "dino" else states[-1].params
    assert params is published["encoder"]


@every_sketch
def test_two_seeds_under_vmap_equal_two_runs(name):
    steps, batch = 5, draw_batch()._replace(images=draw_batch().images.double())
    runs, key_epochs = [], torch.stack([keys(seed)[1] for seed in (0, 1)])
    for seed, key_epoch in enumerate(key_epochs):
        _, step, state = start(name, seed)
        runs.append([to_double(state)])
        for _ in range(steps):
            runs[-1].append(step(runs[-1][-1], key_epoch, batch)[0])
    both = tree.stack([states[0] for states in runs])
    for _ in range(steps):
        both, _ = torch.func.vmap(lambda state, key, step=step: step(state, key, batch))(both, key_epochs)
    alone = tree.flatten(tree.stack([states[-1] for states in runs]))
    for leaf, together in tree.flatten(both).items():
        torch.testing.assert_close(
            together, alone[leaf], rtol=1e-7, atol=1e-9, msg=lambda text, at=leaf: f"{at}: {text}"
        )


@every_sketch
def test_draws_belong_to_the_image_and_labels_are_not_used(name):
    method, _ = SKETCHES[name](VIT if name == "mae" else DRAWING)
    params, state = method.init(random.key(0))
    value, _ = loss_of(method, params, state)
    order = random.permutation(random.key(9), 16)
    shuffled = {"images": draw_batch().images[order], "labels": order % 3}
    torch.testing.assert_close(loss_of(method, params, state, index=order, **shuffled)[0], value)
    assert not torch.isclose(loss_of(method, params, state, **shuffled)[0], value)  # as if they were other images


@every_sketch
def test_the_training_state_goes_to_flat_names_and_back(name):
    _, states, _ = train(name)
    flat = tree.flatten(states[-1])
    back = tree.flatten(tree.unflatten_like(states[0], flat))
    assert all(back[leaf] is flat[leaf] for leaf in flat)


def test_swav_keeps_its_prototypes_on_the_sphere_and_uses_a_full_queue_alone():
    method, states, _ = train("swav")
    for state in states:
        torch.testing.assert_close(state.params["prototypes"]["weight"].norm(dim=1), torch.ones(24))
    assert [int(state.state.queues[1].filled) for state in states[:4]] == [0, 16, 32, 32]
    part, full = (state.state for state in states[1:3])
    other_rows = l2_normalize(random.normal(random.key(7), (32, 16)))
    for state, used in ((part, False), (full, True)):
        changed = state._replace(queues=tuple(ring._replace(rows=other_rows) for ring in state.queues))
        values = [loss_of(method, states[0].params, each)[0] for each in (state, changed)]
        assert torch.equal(*values) == (not used)


def test_mae_equals_its_equations_image_by_image():
    method, _ = mae_and_optimizer()
    params, state = to_double(method.init(random.key(0)))
    batch = draw_batch(5)._replace(images=draw_batch(5).images.double())
    key = random.key(3)
    value, _ = method.loss(params, state, key, batch)
    (masks,), errors = image_keys(key, Stream.MASKS, batch.index), []
    views = augmentations.draw_views(crop(8, 0.2, 1.0), key, batch, 1)[0]
    for b in range(5):
        keep, image = random.permutation(masks[b], 16)[:4], views[b : b + 1]
        tokens, _ = VIT.tokens(params["encoder"], {}, image, keep=keep[None])
        class_token, *seen = tokens[0] @ params["embed"]["weight"].T + params["embed"]["bias"]
        found = dict(zip(keep.tolist(), seen, strict=True))
        row = [found.get(i, params["mask_token"]) + positions(4, 4, 16)[i] for i in range(16)]
        y, _ = transformer(16, 1, 2).apply(params["decoder"]["blocks"], {}, torch.stack([class_token, *row])[None])
        for i in set(range(16)) - found.keys():
            patch = image[0, 0, i // 4 * 2 : i // 4 * 2 + 2, i % 4 * 2 : i % 4 * 2 + 2].flatten()
            target = (patch - patch.mean()) / (patch.var() + 1e-6).sqrt()
            prediction = params["decoder"]["pixels"]["weight"] @ y[0, 1 + i] + params["decoder"]["pixels"]["bias"]
            errors.append((prediction - target).square().mean())
    assert len(errors) == 5 * 12
    torch.testing.assert_close(value, torch.stack(errors).mean())


def test_lejepa_has_new_directions_at_every_step():
    method, _, state = start("lejepa")
    first, second = (loss_of(method, state.params, state.state, step=step)[1][1] for step in (0, 1))
    assert torch.equal(first["invariance"], second["invariance"]) and not torch.equal(first["sigreg"], second["sigreg"])


def test_dino_takes_the_old_centre_and_what_its_schedules_say(monkeypatch):
    method, _, start_state = start("dino")
    params, state, calls = start_state.params, start_state.state, []
    monkeypatch.setattr(
        "contract.sketches.dino.cross_entropy", lambda *args: (calls.append(args), cross_entropy(*args))[1]
    )
    _, (first, _) = loss_of(method, params, state)
    _, (second, _) = loss_of(method, params, first, step=5)
    (g, s, centre, temperature), (next_g, _, next_centre, next_temperature) = calls
    torch.testing.assert_close(g, s[:2])  # of the large crops: the teacher starts as the student
    assert centre is state.centre and next_centre is first.centre
    torch.testing.assert_close(second.centre, 0.9 * first.centre + 0.1 * next_g.mean((0, 1)))
    assert (float(temperature), float(next_temperature)) == pytest.approx((0.04, 0.055))
    away = tree.map(lambda p: p + 1, params)
    for step, way in ((0, 0.0), (1, 0.1)):  # the momentum of step 0 is .9
        teacher = tree.flatten(loss_of(method, away, state, step=step)[1][0].teacher)
        for name, leaf in tree.flatten(params).items():
            torch.testing.assert_close(teacher[name], leaf + way)


def test_each_image_gets_a_rotation_of_its_own():
    """The encoder tells which side is bright, from top to left to bottom to right: one step per 90 degrees."""

    def bright_side(params, batch_stats, x, /, *, train=False, key=None):
        sides = x[:, 0, 0], x[:, 0, :, 0], x[:, 0, -1], x[:, 0, :, -1]
        return torch.stack([side.mean(1) for side in sides], dim=1), batch_stats

    method = rotation(Encoder(lambda key, /: ({}, {}), bright_side, 4), views=lambda keys, images, /: images)
    images = torch.zeros(64, 1, 8, 8)
    images[:, :, 0, 1:-1] = 1
    batch, shares = Batch(images, None, torch.arange(64)), []
    for guess in (torch.zeros(4), *1000 * torch.eye(4)):  # the side, or always the same rotation
        head = {"weight": 100 * torch.eye(4), "bias": guess}
        _, (_, info) = method.loss({"encoder": {}, "head": head}, method.init(random.key(0))[1], random.key(1), batch)
        shares.append(float(info["accuracy"]))
    drawn = random.randint(image_keys(random.key(1), Stream.SAMPLES, batch.index)[0], (), 0, 4)
    assert shares == [1, *(drawn.bincount(minlength=4) / 64)]


# --- the equations, against values of other implementations ---------------------------------------------------


def wave(rows, columns, frequency):
    """sin(f k^2), k = 1, 2, ..., row by row, in float64: inputs that are easy to pass to every implementation."""
    k = torch.arange(1, rows * columns + 1, dtype=torch.float64)
    return torch.sin(frequency * k**2).reshape(rows, columns)


Z_1 = wave(8, 4, 0.37)
Z_2, Z_3 = Z_1 + 0.5 * wave(8, 4, 0.91), wave(8, 4, 0.71)


def test_the_codes_and_the_loss_of_swav():
    # lightly 1.6.0, SwaVLoss(0.1, 3, 0.05), float64.
    w = l2_normalize(wave(6, 4, 0.19))
    z = l2_normalize(torch.stack([Z_1, Z_2, Z_3]))
    row = [0.0222473993, 0.8936418156, 0.0004925861, 0.0832061213, 0.0, 0.0004120777]
    torch.testing.assert_close(sinkhorn(z[0] @ w.T)[0], torch.tensor(row, dtype=torch.float64), rtol=0, atol=1e-10)
    full = [queues.enqueue(to_double(queues.empty(4, 4)), l2_normalize(wave(4, 4, f))) for f in (0.53, 0.59)]
    empty = 2 * [to_double(queues.empty(4, 4))]
    for crops, rings, value in ((2, empty, 2.2276988250), (3, empty, 6.5490495945), (3, full, 6.1863778124)):
        assert float(swapped(z[:crops], rings, w)) == pytest.approx(value, rel=1e-9)


def test_the_terms_of_lejepa():
    # The authors' code (github.com/rbalestr-lab/lejepa) and lightly 1.6.0, which keep the knots in float32.
    directions = wave(4, 7, 0.23)
    directions = directions / directions.norm(dim=0)
    assert float(sigreg(Z_1, directions)) == pytest.approx(1.1307688578, rel=1e-7)
    assert float(sigreg(torch.stack([Z_1, Z_2]), directions)) == pytest.approx(1.1607262761, rel=1e-7)
    z = torch.stack([Z_1, Z_2, Z_3])
    assert float(disagreement(z, 2)) == pytest.approx(0.4796807859, rel=1e-9)
    assert float(0.95 * disagreement(z, 2) + 0.05 * sigreg(z, directions)) == pytest.approx(0.5121555649, rel=1e-7)


def test_the_loss_of_dino():
    # The authors' code (github.com/facebookresearch/dino) and lightly 1.6.0: two calls, the centre moves in between.
    g = torch.stack([wave(4, 6, f) for f in (0.31, 0.43)])
    s = torch.stack([wave(4, 6, f) for f in (0.61, 0.67, 0.73)])
    centre = torch.zeros(6, dtype=torch.float64)
    assert float(cross_entropy(g, s, centre, 0.04)) == pytest.approx(9.0115179236, rel=1e-9)
    centre = torch.lerp(centre, g.mean((0, 1)), 0.1)
    assert float(cross_entropy(g, s, centre, 0.04)) == pytest.approx(9.1282535938, rel=1e-9)


def test_the_patches_and_the_loss_of_mae():
    images = wave(2, 192, 0.37).reshape(2, 3, 8, 8)
    pixels = patchify(images, 4)
    for i, (row, column) in enumerate([(0, 0), (0, 4), (4, 0), (4, 4)]):
        patch = images[:, :, row : row + 4, column : column + 4]
        assert torch.equal(pixels[:, i], patch.permute(0, 2, 3, 1).flatten(1))
    # The authors' code (github.com/facebookresearch/mae), norm_pix_loss, patches 1 and 3 hidden.
    prediction = wave(8, 48, 0.53).reshape(2, 4, 48)
    assert float(patch_error(prediction[:, [1, 3]], pixels[:, [1, 3]])) == pytest.approx(1.4291019755, rel=1e-9)


# --- the small vision transformer -----------------------------------------------------------------------------


def test_the_small_vit_equals_one_of_torch_nn():
    params, _ = to_double(VIT.init(random.key(0)))
    images = draw_batch(3).images.double()
    weight, bias = params["patches"]["weight"], params["patches"]["bias"]
    rows = [
        [
            weight.flatten(1) @ images[b, :, y : y + 2, x : x + 2].flatten() + bias
            for y in range(0, 8, 2)
            for x in range(0, 8, 2)
        ]
        for b in range(3)
    ]
    x = torch.stack([torch.stack(row) for row in rows]) + positions(4, 4, 16).double()
    x = torch.cat([params["class_token"].expand(3, 1, 16), x], dim=1)
    for i in range(2):
        block = nn.TransformerEncoderLayer(16, 2, 64, 0.0, "gelu", batch_first=True, norm_first=True).double()
        attention, mlp = params["blocks"][f"attention{i}"], params["blocks"][f"mlp{i}"]
        weights = {"self_attn.in_proj_": attention["mix"]["qkv"], "self_attn.out_proj.": attention["mix"]["output"]}
        weights |= {"norm1.": attention["norm"], "norm2.": mlp["norm"], "linear1.": mlp["fc1"], "linear2.": mlp["fc2"]}
        block.load_state_dict({name + leaf: own[leaf] for name, own in weights.items() for leaf in own})
        x = block(x)
    last = params["blocks"]["norm"]
    x = nn.functional.layer_norm(x, (16,), last["weight"], last["bias"]).detach()
    torch.testing.assert_close(VIT.tokens(params, {}, images)[0], x)
    torch.testing.assert_close(VIT.apply(params, {}, images)[0], x[:, 0])
    torch.testing.assert_close(small_vit(patch=2, pool="mean").apply(params, {}, images)[0], x[:, 1:].mean(1))


def test_tokens_see_what_is_kept_in_the_order_of_keep():
    params, _ = VIT.init(random.key(0))
    images = draw_batch(3).images
    everything = random.permutation(random.split(random.key(1), 3), 16)
    tokens, _ = VIT.tokens(params, {}, images)
    shuffled, _ = VIT.tokens(params, {}, images, keep=everything)
    assert tokens.shape == (3, 17, 16)
    torch.testing.assert_close(shuffled[:, 0], tokens[:, 0])
    for b in range(3):
        torch.testing.assert_close(shuffled[b, 1:], tokens[b, 1 + everything[b]])
    keep = torch.tensor([[5, 0]]).expand(3, 2)  # the patches at (1, 1) and (0, 0)
    seen, _ = VIT.tokens(params, {}, images, keep=keep)
    hidden = images.clone()
    hidden[:, :, 4:], hidden[:, :, :2, 2:], hidden[:, :, 2:4, :2], hidden[:, :, :, 4:] = 0, 0, 0, 0
    torch.testing.assert_close(VIT.tokens(params, {}, hidden, keep=keep)[0], seen)
    assert seen.shape == (3, 3, 16)


def test_positions_are_sines_and_cosines_of_row_and_column():
    rates = torch.tensor([1.0, 0.01])
    for i, (row, column) in enumerate([(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]):
        expected = [(row * rates).sin(), (row * rates).cos(), (column * rates).sin(), (column * rates).cos()]
        torch.testing.assert_close(positions(2, 3, 8)[i], torch.cat(expected))
