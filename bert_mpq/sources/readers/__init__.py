"""One reader for each kind of file that reviews come in; each yields Arrow tables of text."""
