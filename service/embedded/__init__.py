"""The servers that `aftertone dev` and the tests start as child processes: real ones, from pip."""
