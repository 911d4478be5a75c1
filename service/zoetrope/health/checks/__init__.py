"""The checks, one file each: whoever lies in this folder is asked."""
