from tests.helpers.export_cases import evaluate, record

__all__ = ["evaluate", "record"]
