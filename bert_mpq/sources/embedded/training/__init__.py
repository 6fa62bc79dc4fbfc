"""How the embedded classifier's adapter is trained (extra ``train``)."""
