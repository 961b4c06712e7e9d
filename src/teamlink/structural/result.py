from dataclasses import dataclass
from teamlink.fitting.fit import Fit
@dataclass(frozen=True)
class StructuralFit(Fit):
    options: object = None
