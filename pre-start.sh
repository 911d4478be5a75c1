#!/usr/bin/env bash
# Prepares one ComfyUI: ExecStartPre of zoetrope-comfyui@N.service.
#
#   pre-start.sh                  check the driver, the GPU and the models; link node packs and models;
#                                 choose the attention kernel; write launch flags and a report
#   pre-start.sh --check          the same, but only print the result and write nothing
#   pre-start.sh --prepare DIR    on a host without Nix: create ComfyUI's environment from nix/pins.json
#   pre-start.sh --require-models a missing model is a failure, not a warning
#   pre-start.sh --ended          after ComfyUI's end (ExecStopPost): note that the kernel killed it for lack of memory
#   pre-start.sh --driver         only say whether the driver's libraries fit the loaded kernel module
#
# Environment variables (the NixOS module sets them all):
#   ZOETROPE_INSTANCE    name of the instance: 0, 1, …
#   ZOETROPE_PYTHON      ComfyUI's own Python
#   ZOETROPE_COMFYUI     ComfyUI's source folder
#   ZOETROPE_BASE        ComfyUI's --base-directory: custom_nodes, models, input, output, temp, user
#   ZOETROPE_RUN         folder of the results: N.env (ZOETROPE_COMFYUI_ARGS) and N.json (/run/zoetrope-engine)
#   ZOETROPE_ARGS_FILE   in the place of N.env a file that is there, in a folder that may be closed to this user
#   ZOETROPE_CACHE       cache of the self-test's results
#   ZOETROPE_GPU         UUID of the GPU; empty: the one that CUDA selects
#   ZOETROPE_DEVICE      gpu: without a GPU this is a failure; cpu: none is used; auto: the CPU if there is no GPU  (auto)
#   ZOETROPE_WAIT        seconds to wait for a driver that is not loaded yet, where a GPU is expected     (300)
#   ZOETROPE_NODE_PACKS  lines of name=path, or a file with such lines
#   ZOETROPE_MODELS      folder of the models, or several separated by colons; the first that has a file is used
#   ZOETROPE_MODEL_LIST  a file of tab-separated lines: folder, file, bytes (- if unknown), recipes
#   ZOETROPE_ATTENTION   auto | sage | flash | ck | sdpa                     (auto)
#   ZOETROPE_MEMORY      auto | 16 | 24 | 32 | 80: the memory profile in GB  (auto)
#   ZOETROPE_PREVIEWS    none | auto | latent2rgb | taesd                    (none)
#   ZOETROPE_EXTRA_ARGS  further arguments for ComfyUI
#   ZOETROPE_FLAG_REQUEST  a file in which the service asks for flags (its engines.flag_request)
#   ZOETROPE_FLAG_OWNER  the user whom that file has to belong to; empty: the one that runs this
#   ZOETROPE_REQUIRE_MODELS=1  as --require-models
#   ZOETROPE_SELFTEST    full | quick: how many sizes the self-test runs    (full)
#   ZOETROPE_MIN_DRIVER  oldest driver that this CUDA works with             (580, for CUDA 13)
#   ZOETROPE_RUNTIME     folder of selftest.py and publish.py                (service/runtime next to this file)
#   ZOETROPE_ROOT        prefix of /proc, /sys, /run and /usr; for tests
#
# Exit codes: 0 ready · 1 unexpected · 2 usage or a wrong setting · 3 reboot needed · 4 the GPU is
# missing · 5 models are missing or closed · 6 no attention kernel is correct · 7 a folder cannot be written ·
# 8 the driver is too old or incomplete · 9 the driver came while it was waited for: start again
set -euo pipefail

usage() { sed -n '2,/^set -e/{/^set -e/d;s/^# \{0,1\}//;p}' "$0"; }

# Findings are collected as tab-separated lines; publish.py makes the results from them.
facts=()
fact() {
  local IFS=$'\t'
  set -- "${@//[$'\t\n']/ }"
  facts+=("$*")
}
warn() { fact warning "$@"; }

publish() {
  local command=write
  ((check)) && command=show
  printf '%s\n' "${facts[@]}" |
    "$ZOETROPE_PYTHON" "$runtime/publish.py" "$command" "$ZOETROPE_RUN" "$ZOETROPE_INSTANCE"
}

# fail CODE KEY SENTENCE NEXT_STEP: print it, publish it for the service if possible, and exit.
fail() {
  local code=$1
  shift
  fact problem "$@"
  if ! { ((writable)) && publish; }; then
    printf '%s\n  next: %s\n' "$2" "$3" >&2
  fi
  exit "$code"
}

read_settings() {
  local name
  for name in INSTANCE PYTHON COMFYUI BASE RUN CACHE MODELS; do
    local variable=ZOETROPE_$name
    [[ -n ${!variable:-} ]] || fail 2 setting "$variable is not set." "See $0 --help."
  done
  [[ -x $ZOETROPE_PYTHON ]] ||
    fail 2 setting "ZOETROPE_PYTHON $ZOETROPE_PYTHON cannot be run." "Set it to ComfyUI's own Python."
  : "${ZOETROPE_GPU:=}" "${ZOETROPE_NODE_PACKS:=}" "${ZOETROPE_MODEL_LIST:=}" "${ZOETROPE_ROOT:=}"
  : "${ZOETROPE_ATTENTION:=auto}" "${ZOETROPE_MEMORY:=auto}" "${ZOETROPE_PREVIEWS:=none}"
  : "${ZOETROPE_EXTRA_ARGS:=}" "${ZOETROPE_REQUIRE_MODELS:=}" "${ZOETROPE_SELFTEST:=full}"
  : "${ZOETROPE_FLAG_REQUEST:=}" "${ZOETROPE_FLAG_OWNER:=}"
  : "${ZOETROPE_MIN_DRIVER:=580}" "${ZOETROPE_DEVICE:=auto}" "${ZOETROPE_WAIT:=300}"
  fact instance "$ZOETROPE_INSTANCE"
}

check_settings() {
  one_of ATTENTION auto sage flash ck sdpa
  one_of MEMORY auto 16 24 32 80
  one_of PREVIEWS none auto latent2rgb taesd
  one_of SELFTEST full quick
  one_of DEVICE auto gpu cpu
  [[ $ZOETROPE_WAIT =~ ^[0-9]{1,5}$ ]] || fail 2 setting "ZOETROPE_WAIT is '$ZOETROPE_WAIT', not a number of seconds." "Correct it."
  # systemd splits the flags at blanks and interprets quotes and escapes; plain words need no quoting.
  [[ $ZOETROPE_EXTRA_ARGS =~ ^[-A-Za-z0-9_.,:=/@+~\ ]*$ ]] ||
    fail 2 setting "ZOETROPE_EXTRA_ARGS contains a character that is not allowed in a flag: $ZOETROPE_EXTRA_ARGS" \
      "Use letters, digits and -_.,:=/@+~ only."
  [[ -f $ZOETROPE_COMFYUI/main.py ]] ||
    fail 2 setting "There is no ComfyUI in $ZOETROPE_COMFYUI." "Set ZOETROPE_COMFYUI to the folder that contains main.py."
  fact attention "$ZOETROPE_ATTENTION"
  fact memory "$ZOETROPE_MEMORY"
  fact previews "$ZOETROPE_PREVIEWS"
  fact extra "$ZOETROPE_EXTRA_ARGS"
  fact comfyui "$ZOETROPE_COMFYUI"
  [[ -z $ZOETROPE_FLAG_REQUEST ]] || fact request "$ZOETROPE_FLAG_REQUEST" "$ZOETROPE_FLAG_OWNER"
  packages=$("$ZOETROPE_PYTHON" "$runtime/publish.py" runtime) ||
    fail 2 setting "ZOETROPE_PYTHON $ZOETROPE_PYTHON cannot run $runtime/publish.py." "Run it by hand to see the error."
  fact runtime "$packages"
  [[ -n $ZOETROPE_EXTRA_ARGS ]] || return 0
  local unknown
  unknown=$("$ZOETROPE_PYTHON" "$runtime/publish.py" unknown "$ZOETROPE_COMFYUI" "$ZOETROPE_EXTRA_ARGS")
  [[ -z $unknown ]] ||
    fail 2 setting "ZOETROPE_EXTRA_ARGS has flags that this ComfyUI does not know: $unknown." \
      "Correct or remove them (NixOS: services.zoetrope.comfyui.extraArgs); otherwise ComfyUI would not start."
}

one_of() {
  local variable=ZOETROPE_$1 word
  shift
  for word in "$@"; do [[ ${!variable} != "$word" ]] || return 0; done
  fail 2 setting "$variable is '${!variable}'; allowed is one of: $*." "Correct it."
}

check_folders() {
  local folder
  for folder in "$ZOETROPE_RUN" "$ZOETROPE_BASE" "$ZOETROPE_CACHE"; do
    ((check)) || mkdir -p "$folder" 2>/dev/null || true
    [[ $check -eq 1 || (-d $folder && -w $folder && -x $folder) ]] ||
      fail 7 folder "$folder cannot be written by $(id -un)." \
        "See the owner with: ls -ld $folder; the user of the unit must own it."
    [[ $folder != "$ZOETROPE_RUN" ]] || writable=1
  done
  ((check)) || mkdir -p "$ZOETROPE_BASE"/{custom_nodes,models,input,output,temp,user}
}

# The version of the loaded kernel module; empty if none is loaded.
loaded_driver() {
  local file=$ZOETROPE_ROOT/sys/module/nvidia/version
  if [[ -r $file ]]; then
    tr -d '[:space:]' <"$file"
  elif [[ -r $ZOETROPE_ROOT/proc/driver/nvidia/version ]]; then
    sed -nE 's/^NVRM version:.*Module[^0-9]*( x86_64)? +([0-9]+(\.[0-9]+)+) .*/\2/p' \
      "$ZOETROPE_ROOT/proc/driver/nvidia/version"
  fi
}

# The version of the user-space libraries, from the name of the file that libcuda.so.1 points to.
library_driver() {
  local folder file
  for folder in run/opengl-driver/lib usr/lib/x86_64-linux-gnu usr/lib64; do
    for file in "$ZOETROPE_ROOT/$folder"/libcuda.so.1 "$ZOETROPE_ROOT/$folder"/libcuda.so.*.*; do
      file=$(readlink -f "$file") || continue
      if [[ ${file##*/} =~ ^libcuda\.so\.([0-9]+\.[0-9.]+)$ ]]; then
        printf '%s' "${BASH_REMATCH[1]}"
        return
      fi
    done
  done
}

mismatch() {
  printf 'Reboot needed: the kernel has NVIDIA driver %s loaded, but the libraries are %s.' "$1" "$2"
}

# For zoetrope-engines, which restarts nothing that could not come back.
say_driver() {
  local loaded libraries
  : "${ZOETROPE_ROOT:=}"
  loaded=$(loaded_driver) libraries=$(library_driver)
  [[ -n $loaded && -n $libraries && $loaded != "$libraries" ]] || exit 0
  mismatch "$loaded" "$libraries"
  exit 3
}

# What nodes can write they may replace: a pipe in a file's place would hold this script for ever.
plain() { [[ -f $1 && ! -L $1 && -r $1 ]]; }

# As ExecStopPost, where alone systemd says how the last process ended: its next start makes that a success again. The
# note stays: a start that fails in between, and ends as well, does not hide it.
note_end() {
  [[ ${SERVICE_RESULT:-} == oom-kill && -n ${ZOETROPE_RUN:-} && -n ${ZOETROPE_INSTANCE:-} ]] || exit 0
  rm -rf "$ZOETROPE_RUN/.$ZOETROPE_INSTANCE.ended.part"
  printf 'oom-kill %s\n' "$(date +%s)" >"$ZOETROPE_RUN/.$ZOETROPE_INSTANCE.ended.part"
  mv -fT "$ZOETROPE_RUN/.$ZOETROPE_INSTANCE.ended.part" "$ZOETROPE_RUN/$ZOETROPE_INSTANCE.ended"
  exit 0
}

# How ComfyUI ended when it last was killed for lack of memory, and when.
read_end() {
  local how at
  plain "$ZOETROPE_RUN/$ZOETROPE_INSTANCE.ended" || return 0
  read -r how at 2>/dev/null <"$ZOETROPE_RUN/$ZOETROPE_INSTANCE.ended" || return 0
  # One in the future would be the end of every later process.
  [[ $how != oom-kill || ! $at =~ ^[0-9]{1,12}$ ]] || ((10#$at > $(date +%s) + 60)) || fact ended "$how" "$at"
}

# Whether a GPU is named or asked for. Then the CPU is no answer to a GPU that is not there.
expected() { [[ -n $ZOETROPE_GPU || $ZOETROPE_DEVICE == gpu ]]; }

# Open drivers are loaded while the host boots, others when udev comes to it, which may be later than this.
wait_for_driver() {
  local waited=0
  expected && ((!check)) && [[ -z $(loaded_driver) ]] || return 0
  local before=("${facts[@]}")
  fact problem no-card "The NVIDIA kernel module is not loaded yet: ComfyUI waits for it, $ZOETROPE_WAIT seconds at most." \
    "If it never comes, see: dmesg | grep -i nvidia; lspci | grep -i nvidia"
  publish
  facts=("${before[@]}")
  while [[ -z $(loaded_driver) ]]; do
    ((waited < ZOETROPE_WAIT)) || return 0
    sleep 1
    waited=$((waited + 1))
  done
  # The unit's list of devices was made when it started, and the kernel had none of NVIDIA's then.
  fail 9 driver-late "The NVIDIA kernel module came after $waited s: ComfyUI starts anew, with its devices." \
    "Nothing to do: systemd starts it again by itself."
}

# A switch replaces the libraries at once, the kernel module only at the next boot (nixpkgs #255070).
check_driver() {
  local libraries
  [[ $ZOETROPE_DEVICE != cpu ]] || return 0
  wait_for_driver
  driver=$(loaded_driver)
  fact driver "$driver"
  [[ -n $driver ]] || return 0
  libraries=$(library_driver)
  [[ -n $libraries ]] ||
    fail 8 driver "The NVIDIA kernel module $driver is loaded, but its user-space libraries were not found." \
      "On NixOS set hardware.graphics.enable = true; elsewhere install the driver's libcuda."
  [[ $libraries == "$driver" ]] ||
    fail 3 reboot "$(mismatch "$driver" "$libraries")" \
      "Reboot the host; only a reboot loads the new kernel module."
  ((${driver%%.*} >= ZOETROPE_MIN_DRIVER)) ||
    fail 8 driver "NVIDIA driver $driver is too old: this ComfyUI's CUDA needs $ZOETROPE_MIN_DRIVER or newer." \
      "Choose a newer hardware.nvidia.package, switch, and reboot."
}

# The driver shows question marks for a GPU that nothing has opened yet; then the self-test decides.
check_gpu() {
  local file uuids=() models=()
  if [[ $ZOETROPE_DEVICE == cpu ]]; then
    card=cpu
    fact mode cpu
    export CUDA_VISIBLE_DEVICES=
    return
  fi
  if [[ -n $driver ]]; then
    for file in "$ZOETROPE_ROOT"/proc/driver/nvidia/gpus/*/information; do
      [[ -r $file ]] || continue
      uuids+=("$(sed -nE 's/^GPU UUID:[[:space:]]*//p' "$file")")
      models+=("$(sed -nE 's/^Model:[[:space:]]*//p' "$file")")
    done
  fi
  local all=${uuids[*]:-none}
  if [[ -n $ZOETROPE_GPU ]]; then
    [[ -n $driver ]] ||
      fail 4 no-card "The GPU $ZOETROPE_GPU cannot be used: the NVIDIA kernel module is not loaded." \
        "See: dmesg | grep -i nvidia; lspci | grep -i nvidia"
    [[ " $all " == *" $ZOETROPE_GPU "* || $all == *'?'* ]] ||
      fail 4 no-card "The GPU $ZOETROPE_GPU is not in this machine; found: $all." \
        "Correct the UUID of the instance, or see why the GPU is gone: dmesg | grep -i -e nvrm -e xid"
    uuids=("$ZOETROPE_GPU")
  fi
  if [[ -z $driver ]]; then
    ! expected ||
      fail 4 no-card "There is no NVIDIA GPU: the kernel module is not loaded." \
        "See: dmesg | grep -i nvidia; lspci | grep -i nvidia. For a trial without a GPU: ZOETROPE_DEVICE=cpu (NixOS: services.zoetrope.gpus.<name>.cpu = true)."
    use_cpu no-card "There is no NVIDIA GPU: ComfyUI runs on the CPU, very slowly." \
      "Nothing to do if this is intended; otherwise see: lspci | grep -i nvidia"
    return
  fi
  # A number counts GPUs in the order of the bus, as /proc lists them (with CUDA_DEVICE_ORDER=PCI_BUS_ID).
  local number=${CUDA_VISIBLE_DEVICES:-}
  if [[ -z $ZOETROPE_GPU && $number =~ ^[0-9]+$ && -n ${uuids[number]:-} ]]; then
    uuids=("${uuids[number]}")
    models=("${models[number]}")
  fi
  card=${uuids[*]:-unlisted} # as in some containers
  fact gpu "${uuids[0]:-}"
  fact card "${models[0]:-}"
  # Both: the order of CUDA's numbers is not that of the bus, a UUID is the same everywhere.
  [[ -z $ZOETROPE_GPU ]] || export CUDA_VISIBLE_DEVICES=$ZOETROPE_GPU
}

use_cpu() {
  card=cpu
  fact mode cpu
  warn "$@"
}

# Our links are recorded in one file, a line of path and target each, so that users' own files are never
# touched. A line is written before its link: a kill between the two loses none.
declare -A wanted=() owned=()
read_links() {
  local line
  record=$ZOETROPE_BASE/.zoetrope-links
  # What is no file of ours is written to later, and a pipe would hold that as well.
  plain "$record" || { ((check)) || rm -rf "$record"; return 0; }
  while read -r line; do owned[$line]=1; done <"$record"
}

is_ours() { [[ -L $1 && -n ${owned["$1"$'\t'"$(readlink "$1")"]:-} ]]; }

# Sets `placed`: linked, or yours if a user's own file or folder is there; that one stays.
place_link() {
  local path=$1 target=$2
  placed=linked
  if [[ (-e $path || -L $path) && $(readlink "$path") != "$target" ]] && ! is_ours "$path"; then
    placed=yours
    warn yours "$path was not created by zoetrope and is used as it is." \
      "To use zoetrope's own, move it away: mv '$path' '$path.mine'"
    return
  fi
  wanted[$path]=$target
  [[ $check -eq 0 && $(readlink "$path") != "$target" ]] || return 0
  printf '%s\t%s\n' "$path" "$target" >>"$record"
  mkdir -p "${path%/*}"
  ln -sfn "$target" "$path.zoetrope-part"
  mv -fT "$path.zoetrope-part" "$path"
}

remove_stale_links() {
  local line path
  ((check)) && return
  for line in "${!owned[@]}"; do
    path=${line%%$'\t'*}
    if [[ -L $path.zoetrope-part ]]; then rm -f "$path.zoetrope-part"; fi # of a start that was killed
    if [[ -z ${wanted[$path]:-} ]] && is_ours "$path"; then rm -f "$path"; fi
  done
  rm -rf "$record.part"
  for path in "${!wanted[@]}"; do printf '%s\t%s\n' "$path" "${wanted[$path]}"; done |
    sort >"$record.part"
  mv -f "$record.part" "$record"
}

list_packs() {
  if [[ -f $ZOETROPE_NODE_PACKS ]]; then cat "$ZOETROPE_NODE_PACKS"; else printf '%s\n' "$ZOETROPE_NODE_PACKS"; fi
}

link_packs() {
  local line name path
  while read -r line; do
    [[ -n $line && $line != \#* ]] || continue
    name=${line%%=*} path=${line#*=}
    [[ $line == *=* && $name =~ ^[A-Za-z0-9][A-Za-z0-9._-]*$ ]] ||
      fail 2 setting "ZOETROPE_NODE_PACKS has a line that is not name=path: $line" "Correct it."
    if [[ ! -e $path/__init__.py ]]; then
      fact pack "$name" missing
      warn pack "The node pack $name is missing: there is no $path/__init__.py." \
        "Recipes that need its nodes are rejected; correct its path, or remove the line."
      continue
    fi
    place_link "$ZOETROPE_BASE/custom_nodes/$name" "$path"
    # ComfyUI loads what is there, whoever put it there.
    fact pack "$name" "$placed" "$(readlink -f "$ZOETROPE_BASE/custom_nodes/$name" || true)" "$path"
  done < <(list_packs)
}

# Sets `found` to the first complete file in the models' folders that can be read, `size` to its bytes; else `size`
# to that of an incomplete one, or - if there is none, and `closed` to a complete one that cannot be read.
find_model() {
  local name=$1 bytes=$2 folder there
  local IFS=:
  found='' size=- closed=''
  for folder in $ZOETROPE_MODELS; do
    there=$(stat -Lc %s "$folder/$name" 2>/dev/null) || continue
    [[ $size != - ]] || size=$there
    [[ $bytes == - || $there == "$bytes" ]] || continue
    size=$there
    if [[ -r $folder/$name ]]; then
      found=$folder/$name closed=''
      return
    fi
    closed=$folder/$name
  done
}

# A folder that is not mounted, or closed to this user, looks as if every model in it were missing.
check_model_folders() {
  local folder
  local IFS=:
  for folder in $ZOETROPE_MODELS; do
    if [[ ! -d $folder ]]; then
      warn models-folder "The models' folder $folder is not there." \
        "Mount it or create it; else remove it from the settings (NixOS: services.zoetrope.models)."
    elif [[ ! -r $folder || ! -x $folder ]]; then
      warn models-folder "The models' folder $folder cannot be read by $(id -un)." "Let it be read: chmod -R o+rX '$folder'"
    fi
  done
}

# Only complete models are linked, so that ComfyUI never loads half a download.
link_models() {
  local folder file bytes recipes found size closed state missing=() unreadable=()
  local rife=$ZOETROPE_BASE/custom_nodes/ComfyUI-Frame-Interpolation
  [[ -n $ZOETROPE_MODEL_LIST ]] || return 0
  [[ -r $ZOETROPE_MODEL_LIST ]] ||
    fail 2 setting "ZOETROPE_MODEL_LIST $ZOETROPE_MODEL_LIST cannot be read." "Correct it."
  while IFS=$'\t' read -r folder file bytes recipes; do
    [[ -n $folder && $folder != \#* ]] || continue
    [[ /$folder/$file/ != */../* && $folder != /* ]] ||
      fail 2 setting "ZOETROPE_MODEL_LIST names a file outside of the models' folder: $folder/$file" "Correct it."
    find_model "$folder/$file" "$bytes"
    state=ok
    if [[ -n $found ]]; then
      place_link "$ZOETROPE_BASE/models/$folder/$file" "$found"
      # RIFE's pack looks next to its own code, except in the store, where ours is patched.
      [[ $folder != rife || ! -w $rife ]] || place_link "$rife/ckpts/rife/$file" "$found"
    elif [[ -n $closed ]]; then
      # ComfyUI would say in the job that there is no such file.
      state=unreadable
      unreadable+=("$closed")
    elif [[ $size == - ]]; then
      state=missing
      missing+=("$folder/$file (for $recipes)")
    else
      state=wrong-size
      missing+=("$folder/$file (for $recipes; $size of $bytes bytes)")
    fi
    fact model "$state" "$folder" "$file" "$bytes" "$size" "$recipes"
  done <"$ZOETROPE_MODEL_LIST"
  local named
  if ((${#unreadable[@]})); then
    printf -v named '%s, ' "${unreadable[@]}"
    named="Models cannot be read by $(id -un): ${named%, }."
    [[ -z $ZOETROPE_REQUIRE_MODELS ]] || fail 5 models-closed "$named" "Let them be read: chmod o+r FILE"
    warn models-closed "$named" "Let them be read: chmod o+r FILE"
  fi
  ((${#missing[@]})) || return 0
  printf -v named '%s, ' "${missing[@]}"
  named="Missing or incomplete in $ZOETROPE_MODELS: ${named%, }."
  local step="See the download: systemctl status zoetrope-models; zoetrope models list"
  [[ -z $ZOETROPE_REQUIRE_MODELS ]] || fail 5 models "$named" "$step"
  warn models "$named" "$step"
}

# A newer ComfyUI migrates its database when it starts, and an older one cannot read it any more: before the
# version changes, what is there is kept beside it. Nothing has it open now.
keep_database() {
  local file=$ZOETROPE_BASE/user/comfyui.db mark=$ZOETROPE_BASE/user/.zoetrope-version version='' last='' copy part number=1
  version=$("$ZOETROPE_PYTHON" "$runtime/publish.py" version "$ZOETROPE_COMFYUI")
  [[ -n $version && $check -eq 0 ]] || return 0
  if plain "$mark"; then read -r last <"$mark" || true; fi
  [[ $last != "$version" ]] || return 0
  if [[ -n $last && $(printf '%s\n' "$last" "$version" | sort -V | head -n 1) == "$version" ]]; then
    warn database "ComfyUI goes back from $last to $version, which may not read the database that $last has changed." \
      "If it does not start, put back an earlier one: ls $file.before-*"
  fi
  if [[ -f $file && ! -L $file ]]; then
    # An earlier copy of that name may be the only one that an older version can read.
    copy=$file.before-$version
    while [[ -f $copy ]] && ! cmp -s "$file" "$copy"; do
      ((++number))
      copy=$file.before-$version.$number
    done
    for part in '' -wal; do
      rm -f "$copy$part" || true
      [[ ! -f $file$part || -L $file$part ]] || cp -T "$file$part" "$copy$part" || {
        rm -f "$copy$part" || true
        warn database "ComfyUI's database could not be copied before version $version changes it." \
          "Make room in $ZOETROPE_BASE; going back to an older version may need: rm '$file'"
        return 0
      }
    done
  fi
  rm -rf "$mark.part" || true
  { printf '%s\n' "$version" >"$mark.part" && mv -f "$mark.part" "$mark"; } 2>/dev/null ||
    warn database "$mark cannot be written: the next start copies ComfyUI's database again." "Make room in $ZOETROPE_BASE."
}

# While a clock profile is in force, a short test of the kernels runs under it too, at every start: a result
# that differs from the one at stock clocks means that the profile is unstable, and is reported as such.
tuned_test() {
  local file=$ZOETROPE_ROOT/run/zoetrope-gpu/$card code=0
  [[ -r $file ]] || return 0
  read -r tuned _ <"$file" || true
  [[ -n $tuned ]] || return 0
  fact profile "$tuned"
  [[ -s $1 ]] || return 0
  "$ZOETROPE_PYTHON" "$runtime/selftest.py" "${words[@]}" --quick --out "$scratch/tuned.json" || code=$?
  if [[ -s $scratch/tuned.json ]]; then
    fact tuned "$scratch/tuned.json"
  else
    fact tuned-broke "$code"
  fi
}

# Results are cached by driver, GPU, packages, requested kernel and version of the test.
self_test() {
  local key result code=0 tuned='' words=(--wish "$ZOETROPE_ATTENTION" --comfyui "$ZOETROPE_COMFYUI")
  [[ $ZOETROPE_SELFTEST == full ]] || words+=(--quick)
  key=$({
    printf '%s\n' "$driver" "$card" "${words[*]}" "$(readlink -f "$ZOETROPE_PYTHON")"
    printf '%s\n' "$packages"
    cat "$runtime/selftest.py" "$runtime/kernels.py" "$ZOETROPE_COMFYUI/comfy/cli_args.py" 2>/dev/null || true
  } | sha256sum | cut -c1-16)
  result=$ZOETROPE_CACHE/selftest-$key.json
  tuned_test "$result"
  if [[ ! -s $result ]]; then
    result=$scratch/selftest.json
    "$ZOETROPE_PYTHON" "$runtime/selftest.py" "${words[@]}" --out "$result" || code=$?
  fi
  [[ -s $result ]] ||
    fail 6 selftest "The attention self-test exited with code $code and without a report." \
      "Run it by hand: $ZOETROPE_PYTHON $runtime/selftest.py"
  fact selftest "$result"
  ((code == 0)) ||
    fail 6 kernels "No attention kernel that ComfyUI has a flag for gives correct results." \
      "See above which was rejected and why, or run it by hand: $ZOETROPE_PYTHON $runtime/selftest.py"
  # The report is ours, one key a line, so that grep can read it.
  if [[ $card != cpu ]] && grep -q '"memory": null' "$result"; then
    ! expected ||
      fail 4 no-card "torch does not see the GPU${ZOETROPE_GPU:+ $ZOETROPE_GPU}." \
        "Check DeviceAllow of the unit, and: nvidia-smi -L"
    use_cpu no-cuda "torch does not see the GPU: ComfyUI runs on the CPU." \
      "Check DeviceAllow of the unit, and the torch build: $ZOETROPE_PYTHON -c 'import torch; torch.cuda.init()'"
  elif ((!check)) && [[ -z $tuned && $result != "$ZOETROPE_CACHE"/* ]] && grep -q '"settled": true' "$result"; then
    cp "$result" "$ZOETROPE_CACHE/.selftest-$key.part"
    mv -f "$ZOETROPE_CACHE/.selftest-$key.part" "$ZOETROPE_CACHE/selftest-$key.json"
  fi
}

main() {
  here=$(dirname "$(readlink -f "$0")")
  runtime=${ZOETROPE_RUNTIME:-$here/service/runtime}
  check=0 writable=0 driver='' card='' placed='' record='' packages=''
  while (($#)); do
    case $1 in
      --check) check=1 ;;
      --require-models) ZOETROPE_REQUIRE_MODELS=1 ;;
      --driver) say_driver ;;
      --ended) note_end ;;
      --prepare) shift && exec "${ZOETROPE_PYTHON:-python3}" "$runtime/prepare.py" "$@" ;;
      -h | --help) usage && exit 0 ;;
      *) printf '%s: unknown argument %s; see %s --help\n' "$0" "$1" "$0" >&2 && exit 2 ;;
    esac
    shift
  done
  scratch=$(mktemp -d)
  trap 'rm -rf "$scratch"' EXIT
  read_settings
  check_folders
  check_settings
  read_end
  check_driver
  check_gpu
  read_links
  link_packs
  check_model_folders
  link_models
  remove_stale_links
  self_test
  keep_database
  publish
}

main "$@"
