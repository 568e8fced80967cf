"""The commands of `aftertone`, the only readers of argv; imports wait for their command."""
