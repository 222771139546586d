"""Overviews of many ledgers: which rows they have, what stands in a cell, and what is never mixed."""

import pytest
from ledgers import from_scratch, ledger, of_method, row

from zoo.data.official import OFFICIAL
from zoo.evaluation.protocol import spread
from zoo.reports.overviews import NOTHING, System, methods_overview, minutes_overview, systems_overview

SCRATCH = from_scratch(
    "supervised-resnet8-mnist",
    [row("from_scratch", "mnist", 10, [0.8, 0.82]), row("from_scratch", "mnist", "all", [0.95])],
)


def named(*ledgers):
    return {ledger["model"]: ledger for ledger in ledgers}


def lines(overview):
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in overview.splitlines() if line[:1] == "|"]
    return rows[:1] + rows[2:]


def test_methods_have_a_row_each_and_the_baselines_follow():
    ledgers = named(
        of_method("triplet", 0.97), of_method("simclr", 0.9, epochs=60), of_method("denoising_autoencoder", 0.85)
    )
    overview = methods_overview("mnist", ledgers, [SCRATCH], {"triplet-resnet8-mnist", "another"})
    assert lines(overview) == [
        ["labels per class", "epochs", "10", "all"],
        ["[simclr](model_cards/simclr-resnet8-mnist.md)", "60", "90.3 +- .3", "90.1 +- .1"],
        [
            "[denoising autoencoder](model_cards/denoising_autoencoder-resnet8-mnist.md)",
            "9",
            "85.3 +- .3",
            "85.1 +- .1",
        ],
        ["[triplet](model_cards/triplet-resnet8-mnist.md) \\*", "9", "97.3 +- .3", "97.1 +- .1"],
        ["from scratch on those labels", "", "81.0 +- 1.4", "95.0"],
        ["untrained", "", "60.3 +- .3", "60.1 +- .1"],
        ["raw pixels", "", "70.1 +- .1", "70.0"],
    ]
    assert "on the 10,000 test images of mnist" in overview and "(n = 4, with all labels 2)." in overview
    assert "\n\nn = 2, with all labels 1: from scratch on those labels, raw pixels.\n\n" in overview
    assert overview.endswith("\\* Learned from all labels before the probe.")


def test_a_row_with_another_n_says_so_without_its_link():
    ledgers = named(of_method("simclr", 0.9), of_method("byol", 0.9), of_method("moco", 0.9, seeds=3))
    overview = methods_overview("mnist", ledgers, [], set())
    assert "\n\nn = 6, with all labels 3: moco; n = 2, with all labels 1: raw pixels." in overview
    assert "Learned from" not in overview


def test_models_of_other_data_or_measured_with_other_labels_have_no_row():
    other = of_method("simclr", 0.9, data="fashion_mnist")
    subset = ledger("byol-resnet8-mnist", [row("encoder", "mnist_labels_6k", "all", [0.98], labels=6_000)])
    few = ledger("moco-resnet8-mnist", [row("encoder", "mnist", 10, [0.98])])
    network = ledger("simclr-s3a-mnist", [row("encoder", "mnist", "all", [0.98])])
    assert methods_overview("mnist", named(other, subset, few, network), [SCRATCH], set()) == NOTHING
    assert minutes_overview("mnist", named(other, subset, few, network), set()) == NOTHING
    overview = methods_overview("mnist", named(other, subset, few, network, of_method("rotation", 0.8)), [], set())
    assert [title for title, *_ in lines(overview)[1:]] == [
        *("[rotation](model_cards/rotation-resnet8-mnist.md)", "untrained", "raw pixels")
    ]


def test_two_encoders_are_not_compared():
    ledgers = named(of_method("simclr", 0.9), of_method("byol", 0.9, options={"width": 16}))
    with pytest.raises(ValueError, match="byol-resnet8-mnist: expected the encoder options {'width': 32}, as simclr-"):
        methods_overview("mnist", ledgers, [], set())


def test_minutes_are_sorted_and_have_both_accuracies():
    slow = of_method("simclr", 0.9, "cifar10", minutes=(90.0, 100.0))
    fast = of_method("rotation", 0.8, "cifar10", seeds=1, minutes=(20.4,))
    overview = minutes_overview("cifar10", named(slow, fast), set())
    assert lines(overview) == [
        ["method", "minutes", "linear probe", "kNN"],
        ["[rotation](model_cards/rotation-resnet8-cifar10.md)", "20", "80.0", "60.0"],
        ["[simclr](model_cards/simclr-resnet8-cifar10.md)", "95", "90.1 +- .1", "70.1 +- .1"],
    ]
    assert "per seed on a processor, threads: 2, and" in overview and "(n = 2 or 1)" in overview
    assert "10,000 test images of cifar10 with all 60,000 labels" in overview and "Learned from" not in overview
    starred = minutes_overview("cifar10", named(slow, fast), {"simclr-resnet8-cifar10"})
    assert [line[0][-2:] for line in lines(starred)[1:]] == ["d)", "\\*"]
    assert starred.endswith("\n\n\\* Learned from all labels before the probe.")


def test_systems_have_their_measure_and_the_baselines_of_both_networks():
    few = {"data": "fashion_mnist_labels_1k", "count": "all", "labels": 1_000}
    published = ledger(
        "simsiam-s4-fashion_mnist",
        [row("encoder", values=[0.8, 0.82], **few), row("pixels", values=[0.75], **few)],
    )
    small = ledger(
        "simsiam-resnet8-fashion_mnist",
        [row(features, values=[value], **few) for features, value in (("encoder", 0.9), ("untrained", 0.6))],
    )
    autoencoder = ledger(
        "autoencoder-s5-mnist_48k",
        [row("encoder", "mnist", "all", [0.9]), row("untrained", "mnist", "all", [0.9])],
        reconstruction={"mean_squared_error": spread([0.0123])},
    )
    refined = ledger(
        "autoencoder-latent_cnn-mnist_48k",
        [],
        reconstruction={
            "mean_squared_error": spread([0.01]),
            "refined": {"steps": 5, "mean_squared_error": spread([0.009])},
        },
    )
    scratch = from_scratch("supervised-s4-fashion_mnist", [row("from_scratch", values=[0.7], **few)])
    systems = [
        System("S4c", "SimSiam", published["model"], small["model"], few["data"], "macro_f1"),
        System("S4d", "SimSiam", "absent", small["model"], few["data"], "knn", "99"),
        System("S5", "autoencoder", autoencoder["model"], refined["model"], "mnist", "mean_squared_error"),
        System("S6", "absent", "absent", "", "mnist", "linear"),
        System("S7", "other labels", published["model"], "", "mnist", "linear"),
    ]
    overview = systems_overview(systems, named(published, small, autoencoder, refined), [scratch])
    header, *found = lines(overview)
    assert header == [
        *("system", "measured by", "published", "its network", "small", "from scratch", "untrained", "pixels")
    ]
    card = "(model_cards/simsiam-resnet8-fashion_mnist.md)"
    assert found == [
        [
            *("S4c: SimSiam", "macro F1", "", "[71.0 +- 1.4](model_cards/simsiam-s4-fashion_mnist.md)"),
            *(f"[80.0]{card}", "60.0 / –", "– / 50.0", "65.0"),
        ],
        ["S4d: SimSiam", "kNN", "99", "", f"[70.0]{card}", "", "40.0", ""],
        [
            *("S5: autoencoder", "squared error", "", "[0.0123](model_cards/autoencoder-s5-mnist_48k.md)"),
            *("[0.0100 / 0.0090](model_cards/autoencoder-latent_cnn-mnist_48k.md)", "", "", ""),
        ],
    ]
    assert systems_overview(systems, {}, []) == NOTHING


def test_earlier_ledgers_have_no_macro_f1_and_no_row():
    old = ledger("supervised-s4-mnist", [row("encoder", "mnist", "all", [0.9])])
    del old["results"][0]["macro_f1"]
    system = System("S4a", "supervised", old["model"], "", "mnist", "macro_f1")
    assert systems_overview([system], named(old), []) == NOTHING


def test_figures_on_cifar10_say_that_some_test_images_are_copies():
    known = {"probes": {"cifar10": OFFICIAL["cifar10"]}}
    ledgers = named(of_method("simclr", 0.9, data="cifar10", **known))
    assert "20 are JPEG copies" in methods_overview("cifar10", ledgers, [], set())
    system = System("S", "a system", "", "simclr-resnet8-cifar10", "cifar10", "linear")
    assert systems_overview([system], ledgers, []).endswith("which can move an accuracy by .2 points.")
    ledgers = named(of_method("simclr", 0.9, data="cifar10"))
    assert "JPEG" not in methods_overview("cifar10", ledgers, [], set()) + systems_overview([system], ledgers, [])
