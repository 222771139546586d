"""Features in a .parquet, as other programs read them."""

import sys

import numpy as np
import pandas
import polars
import pyarrow
import pytest
import torch
from pyarrow import parquet

import zoo
from zoo.evaluation.embedding import Embedding, check_output, embed, write_embedding


@pytest.fixture
def embedding():
    features = torch.tensor([[1.0, 2.5, 3e-9], [-4.0, float("inf"), 6.0]])
    return Embedding("mine", "ab" * 32, features, ("a b/ü.png", "train/1"), ("train", "test"), ("Katze, grau", None))


def test_other_programs_read_the_columns(embedding, tmp_path):
    path = tmp_path / "deep" / "features.parquet"
    assert write_embedding(embedding, path) == [path] and [*path.parent.iterdir()] == [path]
    table = parquet.read_table(path)
    assert table.schema.field("features").type == pyarrow.list_(pyarrow.float32(), 3)
    assert table.schema.metadata[b"model"] == b"mine" and table.schema.metadata[b"sha256"] == 32 * b"ab"

    frame = pandas.read_parquet(path)
    assert frame.columns.tolist() == ["path", "split", "label", "features"]
    assert frame["path"].tolist() == list(embedding.paths) and frame["split"].tolist() == list(embedding.splits)
    assert frame["label"][0] == "Katze, grau" and pandas.isna(frame["label"][1])
    assert np.array_equal(np.stack(frame["features"]), embedding.features.numpy())

    other = polars.read_parquet(path)
    assert other.schema["features"] == polars.Array(polars.Float32, 3) and other["label"].to_list()[1] is None
    assert np.array_equal(other["features"].to_numpy(), embedding.features.numpy())


def test_the_features_of_a_dataset_are_the_encoders(model, digits, tmp_path):
    path = tmp_path / "digits.parquet"
    write_embedding(embed(model, ["digits"]), path)
    frame = pandas.read_parquet(path)
    images = torch.cat([digits.train.images, digits.test.images])
    assert np.array_equal(np.stack(frame["features"]), model.features(images).numpy())
    assert parquet.read_schema(path).metadata[b"sha256"].decode() == model.config["sha256"]


def test_without_any_label_the_column_is_still_text(embedding, tmp_path):
    path = tmp_path / "features.parquet"
    write_embedding(embedding._replace(labels=(None, None)), path)
    assert parquet.read_schema(path).field("label").type == pyarrow.string()


def test_a_missing_package_is_named_before_anything_is_computed(embedding, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    for call in (check_output, lambda path: write_embedding(embedding, path)):
        with pytest.raises(zoo.ZooError, match=r"pyarrow is missing .*; run `pip install 'funczoo\[parquet\]'`"):
            call(tmp_path / "features.parquet")
    check_output(tmp_path / "features.csv")
