from gen_models.library.fitting import Fitted as Fitted
from gen_models.library.fitting import fit as fit
from gen_models.library.questions import decode as decode
from gen_models.library.questions import encode as encode
from gen_models.library.questions import reconstruct as reconstruct
from gen_models.library.questions import sample as sample
from gen_models.library.questions import score as score
from gen_models.library.stored import load as load
from gen_models.library.stored import save as save

__version__: str
