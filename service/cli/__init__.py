"""Commands of `aftertone`. Each imports what it runs when it runs, so that help is fast."""
