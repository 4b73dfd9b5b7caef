import subprocess
import sys

import pytest

from ml_models import models
from ml_models.core.errors import ModelNotFound


def test_the_folder_is_the_registry():
    assert {"popular", "item_knn", "ease"} <= set(models.names())
    for name in models.names():
        assert models.get(name).name == name


def test_an_unknown_name_names_the_known_ones():
    with pytest.raises(ModelNotFound, match=r"^Model not found: xyz\. Known models: .*ease.*item_knn.*popular"):
        models.get("xyz")
    with pytest.raises(ModelNotFound, match="Did you mean ease"):
        models.get("eas")


def test_listing_imports_no_model():
    code = "import sys; from ml_models import models; models.names()\n"
    code += "print([m for m in sys.modules if 'models.models.' in m])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
