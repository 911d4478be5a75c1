# It writes res4lyf.config.json next to its own code whenever it is loaded (nixified-ai/flake #126). The
# file lives in ComfyUI's user folder instead; the read and both writes use the same line.
''
  substituteInPlace res4lyf.py \
    --replace-fail \
      'get_ext_dir(CONFIG_FILE_NAME)' \
      'os.path.join(__import__("folder_paths").get_user_directory(), CONFIG_FILE_NAME)'
''
