from tests.helpers.export_cases import evaluate, record, tiny_folder

__all__ = ["evaluate", "record", "tiny_folder"]
