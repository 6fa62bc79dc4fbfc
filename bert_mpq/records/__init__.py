"""What was measured, as frozen data, and the files it is written to and read from."""
