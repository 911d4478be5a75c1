"""What everybody speaks of: values without a way to the disk, the network or the clock."""
