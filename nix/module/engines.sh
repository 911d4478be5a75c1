# Brings ComfyUI to what the host's configuration says now, without a wait: at boot and after a switch, as root.
# Arguments: NAME=CONFIGURATION for each engine, where the second is different whenever its unit is.
set -euo pipefail
seen=$RUNTIME_DIRECTORY

state() { systemctl is-active "$1" || true; }

declare -A wanted=()
for each in "$@"; do wanted[zoetrope-comfyui@${each%%=*}.service]=${each#*=}; done

# A GPU that was taken out of the configuration: no switch ends the unit, as its template is still there.
while read -r unit _; do
  [[ -n $unit && -z ${wanted[$unit]:-} ]] || continue
  systemctl --no-block stop "$unit"
  name=${unit#*@}
  rm -f "$seen/$unit" "$seen/${name%.service}.json"
done < <(systemctl list-units --full --plain --no-legend 'zoetrope-comfyui@*.service')

# With libraries that do not fit the loaded kernel module nothing new could use the GPU, what runs already can
# (nixpkgs #255070): nothing is restarted until the reboot, and health says so.
code=0
reboot=$("$ZOETROPE_PRE_START" --driver) || code=$?
((code == 3)) || reboot=''

for unit in "${!wanted[@]}"; do
  name=${unit#*@} name=${name%.service}
  if [[ -n $reboot ]]; then
    printf '{"sentence": "%s ComfyUI is not restarted until then.", "next_step": "%s"}\n' \
      "${reboot//[\"\\]/}" "Reboot the host when it suits; what runs goes on until then." >"$seen/$name.json.part"
    mv -f "$seen/$name.json.part" "$seen/$name.json"
    printf '%s: %s\n' "$unit" "$reboot"
    continue
  fi
  rm -f "$seen/$name.json"
  case $(state "$unit") in
    active | activating | reloading)
      [[ ! -e $seen/$unit || $(<"$seen/$unit") != "${wanted[$unit]}" ]] || continue
      ;;
  esac
  # A unit that failed too often is tried again: a switch is a person's answer to that.
  systemctl reset-failed "$unit" 2>/dev/null || true
  systemctl --no-block restart "$unit"
  printf '%s' "${wanted[$unit]}" >"$seen/$unit"
done
