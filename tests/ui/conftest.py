import pytest
from terminal import Terminal


@pytest.fixture
def terminal(tmp_path):
    """Open ``bert-mpq`` in an empty folder with no hub in reach; ended after the test."""
    opened = []

    def start(*arguments, **options):
        environment = {
            "HF_HUB_OFFLINE": "1",
            "HF_HOME": str(tmp_path / "cache"),
            **options.pop("environment", {}),
        }
        opened.append(Terminal(arguments, tmp_path, environment=environment, **options))
        return opened[-1]

    yield start
    for each in opened:
        each.close()
