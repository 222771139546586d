"""A recipe: everything that pretraining depends on, as plain values.

A recipe is data: it converts to JSON and back, and is included in the card of the weights that it made. Its types and
ranges are checked here; `zoo.training.catalogue` defines and checks the names that it can use. A recipe in Python reads
like a settings table:

    >>> recipe = Recipe(
    ...     method="simclr",
    ...     encoder="resnet8",
    ...     dataset="digits",
    ...     views=[("random_resized_crop", {"size": 8}), ("rotate", {"degrees": 15})],
    ...     optimizer="adamw",
    ...     learning_rate=1e-3,
    ...     epochs=2,
    ...     batch_size=256,
    ... )
    >>> recipe.name
    'simclr-resnet8-digits'
    >>> Recipe.from_json(recipe.to_json()) == recipe
    True
"""

import dataclasses
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zoo.errors import ZooError, shortened, unknown
from zoo.files import parse_json
from zoo.models.code import run_file
from zoo.models.options import Expected, Options, annotations_of, expectation, is_integer, is_named, is_number

MOST_EPOCHS = 2**31 - 1  # so that no number of steps overflows
_LARGEST_SIDE = 65_535  # of an image


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What to pretrain, on what, and how.

    Attributes:
        method: the name of a function in `functional.methods`, or of your own method (`zoo.models.code`).
        encoder: a name in `zoo.models.architectures.ENCODERS`, or that of your own encoder; its number of input
            channels is that of the data.
        dataset: a name, or the path of a file or folder, as in `zoo.data.datasets`.
        views: pairs `(name, options)` of augmentations in `zoo.training.catalogue.AUGMENTATIONS`, or of your own,
            applied in this order; or a list of such lists, one per view of the method. Normalisation by `mean` and
            `std` comes last.
        optimizer: a name in `zoo.training.catalogue.OPTIMIZERS`.
        learning_rate: the peak learning rate, > 0; it is not scaled by the batch size.
        epochs: number of passes over the training images, >= 1.
        batch_size: images per step, >= 2. In each epoch, images that do not fill a batch are skipped.
        warmup_epochs: epochs of linear warm-up before the cosine decay to 0, fewer than `epochs`.
        method_options: keyword arguments of the method, as in `{"temperature": 0.2}`. If the method takes a schedule, a
            pair `(name, options)` denotes one in `zoo.training.catalogue.SCHEDULES`, with times in epochs:
            `{"momentum": ("cosine", {"value": 0.99, "final": 1.0})}` lasts for the whole run. The option `decoder` is a
            pair of a name in `zoo.models.architectures.DECODERS` and options.
        encoder_options: keyword arguments of the encoder, as in `{"width": 32}`.
        optimizer_options: keyword arguments of the optimizer, as in `{"weight_decay": 1e-4}`, which can also be a
            schedule; a `"mask"` is a name in `zoo.training.catalogue.MASKS`.
        parameter_groups: pairs `(pattern, options)` for parameters that are trained differently, as in
            `("predictor.*", {"schedule": "constant"})`; the first pattern that matches a name applies. The options are
            keyword arguments of the optimizer, and `"learning_rate"`, `"schedule"` ("cosine", with the warm-up, or
            "constant") and `"frozen_epochs"` (a number, or "all"), the epochs in which the group is not updated.
        start: "random", or the encoder whose weights pretraining starts from: the name of a model, the path of an
            encoder directory or of a finished run, with a slash, or a name in `zoo.training.catalogue.TORCHVISION`.
            `encoder` and its options must match; the head is always random. `zoo.training.starting` has the details.
        mean: mean per channel of images in 0..1; None for that of the start, or else of the training images.
        std: standard deviation per channel; None as for `mean`.
        image_size: side in pixels to which the images of a folder or CSV are resized; None for the default of
            `zoo.data.images`. Arrays cannot be resized.
        precision: the precision of the encoder's computations, "float32" or "bfloat16"; its parameters, the head, the
            loss and the optimizer are always float32. "auto" is bfloat16 if the device has instructions for it, which
            is faster and trains equally well (README, Speed), else float32; a run keeps its initial precision.
        compile: whether to compile the loss with `torch.compile`: half a minute at the start, then faster steps, most
            of all for colour jitter and small networks (README, Speed).
        seed: the seed of all random draws, 0 <= seed < 2**63.
    """

    method: str
    encoder: str
    dataset: str
    views: tuple[Any, ...]
    optimizer: str
    learning_rate: float
    epochs: int
    batch_size: int
    warmup_epochs: int = 0
    method_options: Options = field(default_factory=dict)
    encoder_options: Options = field(default_factory=dict)
    optimizer_options: Options = field(default_factory=dict)
    parameter_groups: tuple[tuple[str, Options], ...] = ()
    start: str = "random"
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    image_size: int | None = None
    precision: str = "auto"
    compile: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        """Store lists as tuples, so that a recipe equals its JSON round trip, and reject invalid values."""
        for f in dataclasses.fields(self):
            object.__setattr__(self, f.name, _freeze(getattr(self, f.name)))
        _check(self)

    @property
    def name(self) -> str:
        """`METHOD-ENCODER-DATASET`: the name of the model that the recipe makes."""
        return f"{self.method}-{self.encoder}-{_token(self.dataset)}"

    def replace(self, **changes: Any) -> "Recipe":
        """The recipe with some fields changed, as in `recipe.replace(seed=1)`.

        Raises:
            ZooError: if there is no such field; similar ones are listed.
        """
        return Recipe.from_dict({**self.to_dict(), **changes})

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}

    def to_json(self) -> str:
        """Indented JSON in the order of the fields."""
        return json.dumps(self.to_dict(), indent=2) + "\n"

    @property
    def pipelines(self) -> tuple[tuple[tuple[str, Options], ...], ...]:
        """The augmentations of each view; one entry where all views have the same."""
        several = self.views and all(isinstance(v, tuple) and not (v and isinstance(v[0], str)) for v in self.views)
        return self.views if several else (self.views,)

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> "Recipe":
        """The recipe of plain values.

        Raises:
            ZooError: if a field is unknown (similar ones are listed), missing, or invalid.
        """
        fields = {f.name: f for f in dataclasses.fields(Recipe)}
        for name in values:
            if name == "device":
                raise ZooError("recipe: device is not a recipe field; pass --device, or device= to zoo.pretrain")
            if name not in fields:
                raise unknown("recipe field", name, fields)
        required = [
            name
            for name, f in fields.items()
            if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
        ]
        missing = [name for name in required if name not in values]
        if missing:
            raise ZooError(f"recipe: missing {', '.join(missing)}")
        return Recipe(**values)

    @staticmethod
    def from_record(values: Mapping[str, Any]) -> "Recipe":
        """The recipe of a record: a stored run or model, or a JSON file, including those of earlier versions.

        Records without a precision predate that field and are float32. The device was once a field and is ignored.

        Raises:
            ZooError: as in `from_dict`.
        """
        return Recipe.from_dict(
            {"precision": "float32", **{name: value for name, value in values.items() if name != "device"}}
        )

    @staticmethod
    def from_json(text: str, where: str = "recipe") -> "Recipe":
        """The recipe of a JSON text.

        Raises:
            ZooError: if it is not JSON, or not a recipe; the message starts with `where`.
        """
        try:
            values = parse_json(text)
        except ZooError as error:
            raise ZooError(f"{where}: {error}") from error
        if not isinstance(values, dict):
            raise ZooError(f"{where}: expected a JSON object of recipe fields, got {type(values).__name__}")
        try:
            return Recipe.from_record(values)
        except ZooError as error:
            raise ZooError(f"{where}: {error}") from error


def read_recipe(path: str | Path) -> Recipe:
    """Read the recipe in a `.json` file, or run a `.py` file and take its variable `recipe`.

    Raises:
        ZooError: if there is no such file, or no recipe in it.
    """
    path = Path(path)
    if not path.is_file():
        raise ZooError(f"{path}: no such file; expected a recipe, .json or .py")
    if path.suffix == ".json":
        try:
            text = path.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError as error:
            raise ZooError(f"{path}: expected JSON in UTF-8 ({error}); save it as UTF-8") from error
        return Recipe.from_json(text, where=str(path))
    if path.suffix != ".py":
        raise ZooError(f"{path}: expected a recipe ending in .json or .py")
    return recipe_of(path, run_file(path))


def recipe_of(path: Path, variables: Mapping[str, Any]) -> Recipe:
    """The variable `recipe` of a Python file that was run.

    Raises:
        ZooError: if there is no such variable, or it holds something else.
    """
    recipe = variables.get("recipe")
    if not isinstance(recipe, Recipe):
        raise ZooError(f"{path}: expected a variable `recipe` that holds a zoo.Recipe, got {type(recipe).__name__}")
    return recipe


def read_change(text: str) -> tuple[str, Any]:
    """A field and its new value from the command line: the value as JSON, or else the text itself.

    Raises:
        ZooError: if there is no `=`, or the value is JSON that `zoo.files.parse_json` refuses.

    Example:
        >>> read_change("epochs=3"), read_change("optimizer=sgd")
        (('epochs', 3), ('optimizer', 'sgd'))
    """
    field, equals, value = text.partition("=")
    if not equals:
        raise ZooError(f"--set: expected FIELD=VALUE, got {text!r}")
    try:
        return field, parse_json(value)
    except ZooError as error:
        if isinstance(error.__cause__, json.JSONDecodeError):
            return field, value
        raise ZooError(f"--set: {field}: {error}") from error


def _check(recipe: Recipe) -> None:
    for name, annotation in annotations_of(Recipe).items():
        value, (fits, words) = getattr(recipe, name), _FORMS.get(name) or expectation(annotation)
        if not fits(value):
            raise ZooError(f"recipe: {name}: expected {words}, got {shortened(value)}")
    for name, (low, high) in _BOUNDS.items():
        if not low <= (value := getattr(recipe, name)) <= high:
            expected = f"{low} or more" if value < low else f"at most {high}"
            raise ZooError(f"recipe: {name}: expected {expected}, got {shortened(value)}")
    if recipe.warmup_epochs >= recipe.epochs:
        raise ZooError(
            f"recipe: warmup_epochs: expected fewer than {recipe.epochs}, the epochs, got {recipe.warmup_epochs}; "
            f"change both, as in --set warmup_epochs={recipe.epochs - 1}"
        )
    for pipeline in recipe.pipelines:
        for step in pipeline if isinstance(pipeline, tuple) else (pipeline,):
            if not is_named(step):
                raise ZooError(
                    "recipe: views: expected pairs (name, options), or a list of them for each view, "
                    f"got {shortened(step)}"
                )


def _are_per_channel(value: Any, fits: Callable[[Any], bool]) -> bool:
    return value is None or (isinstance(value, tuple) and len(value) > 0 and all(map(fits, value)))


def _is_above_0(value: Any) -> bool:
    return is_number(value) and value > 0


_BOUNDS = {
    "epochs": (1, MOST_EPOCHS),
    "batch_size": (2, 2**31 - 1),
    "warmup_epochs": (0, MOST_EPOCHS),
    "seed": (0, 2**63 - 1),
}
_FORMS = {  # of the fields whose type says too little
    "learning_rate": Expected(_is_above_0, "a number above 0"),
    "views": Expected(lambda value: isinstance(value, tuple), "a list of pairs (name, options)"),
    "parameter_groups": Expected(
        lambda value: isinstance(value, tuple) and all(map(is_named, value)), "a list of pairs (pattern, options)"
    ),
    "start": Expected(
        lambda value: isinstance(value, str) and bool(value),
        "'random', a model, a directory or 'torchvision:NETWORK'",
    ),
    "mean": Expected(lambda value: _are_per_channel(value, is_number), "a number per channel, or null"),
    "std": Expected(lambda value: _are_per_channel(value, _is_above_0), "a number above 0 per channel, or null"),
    "image_size": Expected(
        lambda value: value is None or (is_integer(value) and 1 <= value <= _LARGEST_SIDE),
        f"1 pixel or more, at most {_LARGEST_SIDE:,}, or null",
    ),
}


def _freeze(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return tuple(_freeze(item) for item in value)
    if isinstance(value, Mapping):
        return {key: _freeze(item) for key, item in value.items()}
    return value


def _token(dataset: str) -> str:
    """The dataset part of a model name: letters, digits and underscores of the dataset or file name."""
    stem = Path(dataset).stem.lower()
    return "".join(c if c.isascii() and c.isalnum() else "_" for c in stem).strip("_") or "data"
