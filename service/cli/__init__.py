"""Commands of `aftertone`. Each imports its modules when it is executed, so that help is fast."""
