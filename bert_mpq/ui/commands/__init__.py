"""The subcommands of ``bert-mpq``: their flags and what they do."""
