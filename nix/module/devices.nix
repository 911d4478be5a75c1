# The cards' device nodes, by the two kinds of class names that drivers use; a name that is not there allows
# nothing. nixpkgs #331069: one class too few, and the GPU is invisible without a word.
[
  "char-nvidia rw"
  "char-nvidiactl rw"
  "char-nvidia-caps rw"
  "char-nvidia-frontend rw"
  "char-nvidia-modeset rw"
  "char-nvidia-uvm rw"
]
