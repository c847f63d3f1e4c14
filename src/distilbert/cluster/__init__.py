"""Tasks and training beyond one process: files in shards, on processes of this machine or on Ray."""
