"""The inbox: from a file that somebody drops to a claimed, decoded picture with its ticket."""
