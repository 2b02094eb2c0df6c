"""Seeds: every sample has its own, and those that priors are trained on meet no others."""

TRAINING_SEEDS = range(10**9)
TEST_SEEDS = range(10**9, 2 * 10**9)
"""Seeds of samples that no prior is trained on."""


def refuse_mixed(first: int, count: int) -> None:
    """Refuse seeds that are neither all for training nor all for tests.

    Raises:
        ValueError: they are not.
    """
    last = first + count - 1
    if not any(first in seeds and last in seeds for seeds in (TRAINING_SEEDS, TEST_SEEDS)):
        raise ValueError(
            f"seeds {first} to {last} must lie within the training seeds "
            f"{TRAINING_SEEDS} or the test seeds {TEST_SEEDS}"
        )
