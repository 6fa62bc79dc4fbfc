"""The files in ``Sensitivities/`` and ``Evaluation/``: names, formats, atomic writes."""
