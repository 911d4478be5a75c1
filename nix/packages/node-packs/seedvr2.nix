# It fetches a missing weight on first use. What it writes lies among ComfyUI's models, in its own state
# folder, where pre-start links each whole model to: there it may.
''
  substituteInPlace src/utils/downloads.py \
    --replace-fail \
      'req = urllib.request.Request(url, headers=headers)' \
      'raise FileNotFoundError(f"{filepath} is missing; nothing is downloaded while jobs run")'
''
