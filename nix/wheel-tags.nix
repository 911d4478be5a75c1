# What a wheel's file name promises, and whether it fits the torch, CUDA and Python it is to run with.
# A kernel wheel built for another torch imports well and crashes at its first call; so a wrong pin must
# fail with a message when the flake is evaluated, and not in the first job.
let
  inherit (builtins)
    concatStringsSep
    elemAt
    head
    length
    match
    replaceStrings
    splitVersion
    ;

  # "a-1.0+local-cp312-abi3-manylinux_2_28_x86_64.whl" as its parts
  parse =
    file:
    let
      found = match "([^-]+)-([^-+]+)(\\+([^-]+))?-([^-]+)-([^-]+)-(.+)\\.whl" file;
      part = elemAt found;
    in
    if found == null then
      throw "nix/pins.json: `${file}` is not the name of a wheel."
    else
      {
        pname = part 0;
        version = part 1;
        local = part 3;
        python = part 4;
        abi = part 5;
        platform = part 6;
      };

  majorMinor =
    version:
    let
      parts = splitVersion version;
    in
    if length parts < 2 then head parts else "${head parts}.${elemAt parts 1}";

  # Reasons why a kernel wheel does not fit; an empty list when it does.
  misfits =
    {
      file,
      torch,
      cuda,
      python,
    }:
    let
      wheel = parse file;
      tag = if wheel.local == null then null else match "cu([0-9]+)torch([0-9]+\\.[0-9]+)(.*)" wheel.local;
      digits = replaceStrings [ "." ] [ "" ] cuda;
      major = head (splitVersion cuda);
      cpython = "cp${replaceStrings [ "." ] [ "" ] python}";
      wrong = is: sentence: if is then [ sentence ] else [ ];
    in
    if tag == null then
      [ "it carries no torch tag (such as +cu${digits}torch${majorMinor torch}), and wheels without one are reported to crash on another torch" ]
    else
      wrong (elemAt tag 0 != digits && elemAt tag 0 != major)
        "it is built for CUDA ${elemAt tag 0}, and torch ${torch} here is built for CUDA ${cuda}"
      ++ wrong (elemAt tag 1 != majorMinor torch)
        "it is built for torch ${elemAt tag 1}, and the one torch here is ${torch}"
      ++ wrong (wheel.python != cpython && wheel.abi != "abi3")
        "it is built for ${wheel.python}, and the runtime's Python is ${cpython}";

  # The value itself, or an error that says what to do.
  assertFits =
    arguments: value:
    let
      reasons = misfits arguments;
    in
    if reasons == [ ] then
      value
    else
      throw "${arguments.file} does not fit: ${concatStringsSep "; " reasons}. Take the wheel of the right build into nix/pins.json, or override the package.";
in
{
  inherit parse misfits assertFits majorMinor;
}
