"""What the encoder of a run is called: a name of the zoo belongs to one recipe."""

import hashlib
import json

from zoo.models.entries import ENTRIES
from zoo.models.loading import WEIGHTS
from zoo.training.recipe import Recipe


def name_of_run(recipe: Recipe) -> str:
    """The name of the encoder that a run of a recipe makes: `METHOD-ENCODER-DATASET`.

    If the zoo has a model of this name by another recipe, the first digits of the recipe's SHA-256 are added, so that
    nobody takes one for the other. The seed does not count: a recipe has several.

    Example:
        >>> import zoo
        >>> recipe = Recipe.from_record(zoo.load("simclr-resnet8-digits").config["recipe"])
        >>> name_of_run(recipe.replace(seed=1)), name_of_run(recipe.replace(epochs=10))
        ('simclr-resnet8-digits', 'simclr-resnet8-digits_bb117b2d')
    """
    config = WEIGHTS / recipe.name / "config.json"
    if recipe.name not in ENTRIES or not config.is_file():
        return recipe.name
    own = recipe.replace(seed=0)
    if own == Recipe.from_record(json.loads(config.read_bytes())["recipe"]).replace(seed=0):
        return recipe.name
    return f"{recipe.name}_{hashlib.sha256(own.to_json().encode()).hexdigest()[:8]}"
