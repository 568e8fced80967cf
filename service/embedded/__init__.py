"""Real servers from pip packages, run as child processes by `aftertone dev` and the tests."""
