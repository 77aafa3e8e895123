"""The models as scikit-learn estimators: an outlier detector, an encoder, and a detector with the interface of PyOD."""

from gen_models_sklearn.encoder import GenerativeEncoder
from gen_models_sklearn.outlier_detector import GenerativeOutlierDetector
from gen_models_sklearn.pyod_detector import PyODDetector
from gen_models_sklearn.table_detector import TableOutlierDetector

__all__ = ["GenerativeEncoder", "GenerativeOutlierDetector", "PyODDetector", "TableOutlierDetector"]
