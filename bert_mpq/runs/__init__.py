"""Everything that can be started, from plan to files, and the session that runs share."""
