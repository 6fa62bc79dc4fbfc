from tests.helpers.export_cases import evaluate, onnx_export, record, reloads_here

__all__ = ["evaluate", "onnx_export", "record", "reloads_here"]
