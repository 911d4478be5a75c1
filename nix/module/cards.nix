# Known GPU models. A floor is the lowest power limit that the driver accepts, in watts; below it only a lower
# clock helps. Models without one are not checked here: the driver itself rejects the value, and names its range.
{
  "RTX 5090" = {
    blackwell = true;
    floor = 400; # the driver's error names 400.00 to 600.00 W
  };
  "RTX 5080".blackwell = true;
  "RTX 5070 Ti".blackwell = true;
  "RTX 5060 Ti".blackwell = true;
  "RTX PRO 6000".blackwell = true;
  "RTX 4090" = { };
  "RTX 3090" = { };
  "H100" = { };
}
