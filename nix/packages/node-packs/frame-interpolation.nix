# It keeps weights in ckpts/ next to its own code and fetches them on first use, from up to seven addresses.
# Here they lie with all other models, one folder for each network (rife/rife49.pth), and a missing one is
# reported at once. The older networks load through torch.hub with the same folder; the unit's offline
# switches and its network rules stop those.
''
  substituteInPlace vfi_utils.py \
    --replace-fail \
      'return os.path.abspath(os.path.join(os.path.dirname(__file__), config["ckpts_path"], model_type))' \
      'return os.path.join(__import__("folder_paths").models_dir, model_type)' \
    --replace-fail \
      'os.makedirs(model_dir, exist_ok=True)' \
      'pass  # the models are put there by the host' \
    --replace-fail \
      'download_url_to_file(url, cached_file, hash_prefix=None, progress=progress)' \
      'raise FileNotFoundError(f"{cached_file} is missing; nothing is downloaded while jobs run")'
''
