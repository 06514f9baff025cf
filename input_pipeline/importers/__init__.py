"""One file for each layout of captures; `detect` says which one a folder has."""
