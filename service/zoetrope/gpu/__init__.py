"""The GPUs: read by everybody, tuned by one small root helper alone, and only with profiles that proved themselves."""
