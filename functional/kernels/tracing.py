"""Whether operations may be written for torch's compiler."""

import torch


def compiled() -> bool:
    """Whether `torch.compile` is tracing.

    So is `torch.export`, but what it traces is run elsewhere, without this package and by other compilers: it gets the
    plain operations, with the results of the uncompiled program.

    Example:
        >>> compiled()
        False
    """
    return torch.compiler.is_compiling() and not torch.compiler.is_exporting()
