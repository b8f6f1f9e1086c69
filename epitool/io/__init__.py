"""Files to arrays and back; every file states its format, skeleton and unit, and is written whole or not at all."""
