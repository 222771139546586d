"""Methods: each one a file, its `State`, and `(init, loss)`. They all read alike. This list is the catalogue.

    simclr        two views agree, and differ from the other images of the batch      Chen et al. 2020
    byol          predict what a slow copy of the network makes of the other view     Grill et al. 2020
    moco          find the other view among thousands of earlier images               Chen et al. 2020 (v2)

`zoo` knows a method by the name of its function here.
"""

from functional.methods.byol import byol as byol
from functional.methods.moco import moco as moco
from functional.methods.simclr import simclr as simclr
