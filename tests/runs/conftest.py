from tests.helpers.export_cases import evaluate, onnx_export, record

__all__ = ["evaluate", "onnx_export", "record"]
