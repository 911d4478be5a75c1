"""ComfyUI's page format: what its page saves becomes the graph that its page would submit."""
