"""The command: words in, ``runs`` called, words out. One file per command."""
