# ComfyUI's own kernels. They come for AMD's GPUs as well, in a module that is opened only where torch is for those.
{ build, plain, ... }: build (plain // { absent = [ "libamdhip64.so.*" ]; })
