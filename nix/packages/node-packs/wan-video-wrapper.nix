# Its text encoder nodes keep embeddings in text_embed_cache/ next to the code; that goes to ComfyUI's user
# folder. Its "download and load" nodes are stopped by the unit's offline switches.
''
  substituteInPlace nodes.py \
    --replace-fail \
      "cache_dir = os.path.join(script_directory, 'text_embed_cache')" \
      "cache_dir = os.path.join(folder_paths.get_user_directory(), 'text_embed_cache')"
''
