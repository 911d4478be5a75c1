# The GPUs' device nodes, by the two sets of class names that drivers use; a name that does not exist allows
# nothing. nixpkgs #331069: with one class missing, the GPU is invisible without any error.
[
  "char-nvidia rw"
  "char-nvidiactl rw"
  "char-nvidia-caps rw"
  "char-nvidia-frontend rw"
  "char-nvidia-modeset rw"
  "char-nvidia-uvm rw"
]
