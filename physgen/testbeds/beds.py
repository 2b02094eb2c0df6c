"""All beds, in the order in which they are told of."""

from physgen.testbeds.catalog import Bed
from physgen.testbeds.catalog_compositions import COMPOSITIONS
from physgen.testbeds.catalog_densities import DENSITIES
from physgen.testbeds.catalog_families import FAMILIES
from physgen.testbeds.catalog_few import FEW_STEPS
from physgen.testbeds.catalog_fields import FIELDS
from physgen.testbeds.catalog_heat import HEAT_INVERTED
from physgen.testbeds.catalog_inference import INFERENCE
from physgen.testbeds.catalog_observations import OBSERVATIONS
from physgen.testbeds.catalog_product import PRODUCT
from physgen.testbeds.catalog_residual import RESIDUAL
from physgen.testbeds.catalog_seen import SEEN_RING
from physgen.testbeds.catalog_training import TRAINING

BEDS: tuple[Bed, ...] = (
    PRODUCT,
    COMPOSITIONS,
    OBSERVATIONS,
    INFERENCE,
    FIELDS,
    RESIDUAL,
    SEEN_RING,
    HEAT_INVERTED,
    DENSITIES,
    FAMILIES,
    TRAINING,
    FEW_STEPS,
)
