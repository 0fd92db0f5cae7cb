"""The command `cka-plugin`: one file a sub-command, and what a terminal shows.

It may know every other room; nothing but the entry point knows it."""
