"""What a method with a decoder makes of ten images after every epoch, and the decoder that a recipe chooses."""

import shutil

import pytest
import torch

import zoo
from functional import heads, methods, tree
from zoo.data.datasets import Dataset, Split, as_dataset
from zoo.files import load_tensors, save_tensors
from zoo.training.catalogue import catalogue, check_names
from zoo.training.plan import choose_examples, find_decoder, make_plan
from zoo.training.recipe import Recipe
from zoo.training.run_directory import read_reconstructions

NAME = "reconstructions.safetensors"


def test_a_run_keeps_the_reconstructions_of_every_epoch(decoding_run, bars):
    kept, _ = load_tensors(decoding_run / NAME)
    assert sorted(kept) == ["epoch_001", "epoch_002", "epoch_003", "originals"]
    images, labels = bars.test
    first = torch.stack([images[labels == i][0] for i in range(6)])
    assert torch.equal(kept["originals"], first.float() / 255)
    model = zoo.load(decoding_run)
    assert torch.equal(kept["epoch_003"], model.decode(model.features(first)))
    assert {x.dtype for x in kept.values()} == {torch.float32}
    assert not torch.equal(kept["epoch_002"], kept["epoch_003"])


def test_a_run_stopped_in_any_epoch_keeps_the_same_reconstructions(decoding_recipe, decoding_run, bars, tmp_path):
    out = tmp_path / "run"

    def stop(epoch, model):
        raise KeyboardInterrupt

    for epoch in (1, 2):
        with pytest.raises(KeyboardInterrupt):
            zoo.pretrain(decoding_recipe, data=bars, out=out, on_epoch=stop)
        assert sorted(load_tensors(out / NAME)[0])[-2] == f"epoch_00{epoch}"
    zoo.pretrain(decoding_recipe, data=bars, out=out)
    assert (out / NAME).read_bytes() == (decoding_run / NAME).read_bytes()


def test_reconstructions_beyond_the_checkpoint_are_dropped(decoding_recipe, decoding_run, bars, tmp_path):
    """As of a run that was killed between writing its reconstructions and its checkpoint."""
    out, seen = tmp_path / "run", []

    def stop(epoch, model):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        zoo.pretrain(decoding_recipe, data=bars, out=out, on_epoch=stop)
    shutil.copy(decoding_run / NAME, out / NAME)

    def look(epoch, model):
        seen.append(sorted(load_tensors(out / NAME)[0]))

    zoo.pretrain(decoding_recipe, data=bars, out=out, on_epoch=look)
    assert seen[0] == ["epoch_001", "epoch_002", "originals"]
    assert (out / NAME).read_bytes() == (decoding_run / NAME).read_bytes()


@pytest.mark.parametrize("how", ["missing", "truncated"])
def test_a_run_without_its_reconstructions_says_what_to_do(decoding_recipe, decoding_run, bars, tmp_path, how):
    out = shutil.copytree(decoding_run, tmp_path / "run")
    shutil.rmtree(out / "encoder")
    whole = (out / NAME).read_bytes()
    (out / NAME).unlink()
    if how == "truncated":
        (out / NAME).write_bytes(whole[: len(whole) // 2])
    words = "missing epoch_001, epoch_002, epoch_003" if how == "missing" else "a truncated or corrupt"
    with pytest.raises(zoo.ZooError, match=f"{NAME}: {words}.*; .*restore"):
        zoo.pretrain(decoding_recipe, data=bars, out=out)


@pytest.mark.parametrize("how", ["an image", "another epoch's", "fewer images"])
def test_reconstructions_that_were_changed_are_found(decoding_recipe, decoding_run, bars, tmp_path, how):
    out = shutil.copytree(decoding_run, tmp_path / "run")
    shutil.rmtree(out / "encoder")
    kept, _ = load_tensors(out / NAME)
    kept["epoch_002"] = {
        "an image": kept["epoch_002"].clone().index_fill_(0, torch.tensor([3]), 0.5),
        "another epoch's": kept["epoch_001"],
        "fewer images": kept["epoch_002"][:5],
    }[how]
    save_tensors(out / NAME, kept, {})
    before = (out / "checkpoint.safetensors").stat().st_mtime_ns
    with pytest.raises(zoo.ZooError, match=f"{NAME}: its images are not those that were written with the checkpoint"):
        zoo.pretrain(decoding_recipe, data=bars, out=out)
    assert (out / "checkpoint.safetensors").stat().st_mtime_ns == before


@pytest.mark.parametrize("change", [{"epoch_004": "epoch_003"}, {"extra": "epoch_001"}, {"originals": None}])
def test_a_file_of_other_reconstructions_is_named_by_whoever_reads_it(decoding_run, tmp_path, change):
    kept, _ = load_tensors(decoding_run / NAME)
    for name, source in change.items():
        kept[name] = kept[source] if source else kept.pop(name)[:, :, :5]
    kept.pop("epoch_002")
    save_tensors(tmp_path / NAME, kept, {})
    with pytest.raises(zoo.ZooError, match=f"{NAME}: expected originals and an image of each for every epoch; restore"):
        read_reconstructions(tmp_path)


def test_the_originals_are_one_per_class_or_the_first_ten():
    images = torch.randint(0, 256, (40, 1, 8, 8), dtype=torch.uint8)
    assert torch.equal(choose_examples(as_dataset(images)), images[:10])
    labels = torch.tensor([1, 1, 0, 2] * 10)
    assert torch.equal(choose_examples(as_dataset((images, labels))), images[[2, 0, 3]])
    many = torch.arange(40) // 2
    assert torch.equal(choose_examples(as_dataset((images, many))), images[:20:2])
    tested = Dataset("d", Split(images, labels), Split(images.flip(0), None), ("a", "b", "c"))
    assert torch.equal(choose_examples(tested), images.flip(0)[:10])


# --- the decoder of a recipe --------------------------------------------------------------------------------------


def own_decoder(latent_dim, *, out_channels):
    """Like the published one, but not in the catalogue."""
    return heads.s5_decoder(latent_dim, out_channels=out_channels)


def own_method(encoder, *, views, decoder=own_decoder):
    """A method of one's own with a decoder of one's own."""
    return methods.autoencoder(encoder, views=views, decoder=decoder)


def test_the_decoder_is_the_recipes_or_the_methods(decoding_recipe, recipe):
    assert find_decoder(decoding_recipe, methods.autoencoder) == ("s5_decoder", {"width": 2})
    assert find_decoder(decoding_recipe.replace(method_options={}), methods.autoencoder) == ("s5_decoder", {})
    assert find_decoder(decoding_recipe, own_method) == ("s5_decoder", {"width": 2})
    assert find_decoder(decoding_recipe.replace(method_options={}), own_method) is None
    assert find_decoder(recipe, methods.simclr) is None


def test_the_chosen_decoder_is_trained_and_the_default_without_a_choice(decoding_recipe, bars):
    for options, width in (({}, 1), (decoding_recipe.method_options, 2)):
        state = make_plan(decoding_recipe.replace(method_options=options), data=bars).init()
        assert state.params["decoder"]["linear1"]["weight"].shape == (128 * width, 3)
    assert Recipe.from_json(decoding_recipe.to_json()) == decoding_recipe
    check_names(decoding_recipe, catalogue())


def test_a_method_with_a_decoder_of_its_own_trains_without_saving_it(decoding_recipe, bars, tmp_path):
    code = zoo.models.code.Code(methods={"own": own_method})
    recipe = decoding_recipe.replace(method="own", method_options={}, epochs=1)
    model = zoo.pretrain(recipe, data=bars, out=tmp_path / "run", code=code)
    assert not model.has_decoder and not (tmp_path / "run" / NAME).exists()
    assert "decoder.linear1.weight" in str(load_tensors(tmp_path / "run" / "checkpoint.safetensors")[0].keys())
    chosen = recipe.replace(method_options={"decoder": ("s5_decoder", {})})
    assert zoo.pretrain(chosen, data=bars, out=tmp_path / "chosen", code=code).has_decoder


def test_colour_images_are_decoded_in_colour(decoding_recipe, bars, tmp_path):
    colour = bars._replace(
        train=bars.train._replace(images=bars.train.images.repeat(1, 3, 1, 1)),
        test=bars.test._replace(images=bars.test.images.repeat(1, 3, 1, 1)),
    )
    recipe = decoding_recipe.replace(
        method_options={**decoding_recipe.method_options, "channels": 3}, mean=(0,) * 3, std=(1,) * 3, epochs=1
    )
    model = zoo.pretrain(recipe, data=colour, out=tmp_path / "run")
    assert model.decode(torch.zeros(2, 3)).shape == (2, 3, 28, 28)
    assert tree.flatten(model.decoder.params)["conv3.weight"].shape[1] == 3
