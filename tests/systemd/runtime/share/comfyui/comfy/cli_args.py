"""The flags that the simulated engine behind ComfyUI's command line takes: of ComfyUI's, those that our units give it."""

import argparse

parser = argparse.ArgumentParser()
parser.add_argument("--base-directory")
parser.add_argument("--cache-none", action="store_true")
parser.add_argument("--cache-ram", nargs="*", type=float)
parser.add_argument("--cpu", action="store_true")
parser.add_argument("--disable-pinned-memory", action="store_true")
parser.add_argument("--preview-method")
parser.add_argument("--reserve-vram", type=float)
parser.add_argument("--use-pytorch-cross-attention", action="store_true")
