"""What the guide shows and a later part brings, by name. This list may only shrink.

A name is a snippet's, or a snippet's and one line of it. `test_guide.py` fails when something listed here works
already, when a snippet is neither run nor listed, and when there are more names than `MOST`.
"""

MOST = 22

_TRAIN = "management-commands/ml-train-train-ml-models#1"
_EVALUATE = "management-commands/ml-evaluate-evaluate-models#1"
_AUTO = "management-commands/ml-auto-train-manage-auto-training#1"
_MONITOR = "auto-training/monitoring-auto-training#1"

PENDING: dict[str, str] = {
    f"{_TRAIN}: python manage.py ml_train --model ncf": "part 3, the network",
    f"{_TRAIN}: python manage.py ml_train --model deepfm --epochs 100": "part 3, the network",
    f"{_EVALUATE}: python manage.py ml_evaluate --model ncf": "part 3, the network",
    "troubleshooting/common-issues/models-not-loading#2: python manage.py ml_train --model ncf": "part 3, the network",
    f"{_AUTO}: python manage.py ml_auto_train": "part 5, automatic training",
    f"{_AUTO}: python manage.py ml_auto_train --check": "part 5, automatic training",
    f"{_AUTO}: python manage.py ml_auto_train --force": "part 5, automatic training",
    f"{_AUTO}: python manage.py ml_auto_train --model ncf": "part 5, automatic training",
    f"{_AUTO}: python manage.py ml_auto_train --config": "part 5, automatic training",
    f"{_AUTO}: python manage.py ml_auto_train --schedule": "part 5, automatic training",
    f"{_AUTO}: python manage.py ml_auto_train --history 10": "part 5, automatic training",
    f"{_MONITOR}: python manage.py ml_auto_train --check": "part 5, automatic training",
    f"{_MONITOR}: python manage.py ml_auto_train --history 20": "part 5, automatic training",
    f"{_MONITOR}: python manage.py ml_auto_train --config": "part 5, automatic training",
    "api-endpoints/search-endpoint#1": "part 6, search",
    "api-endpoints/predictions-endpoint#1": "part 7, predictions",
    "file-structure#1: core/trainer.py": "part 3, the networks",
    "file-structure#1: models/ncf.py": "part 3, the network",
    "file-structure#1: models/deepfm.py": "part 3, the network",
    "file-structure#1: models/two_tower.py": "part 3, the network",
    "file-structure#1: models/sequence.py": "part 3, the network",
    "file-structure#1: management/commands/ml_auto_train.py": "part 5, automatic training",
}
