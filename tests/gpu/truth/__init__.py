"""What a real GPU says of kernels, recipes and memory, in one run that needs no download."""
