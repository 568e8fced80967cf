"""Length of a recording: one module per container, each with one function over a ForwardReader.

The bytes are untrusted. A length is measured from the audio that is present, never from a header
alone, and each byte is read at most once. The functions return milliseconds, or None if the length
cannot be measured. They raise AudioEmpty if the file is complete but has no audio, and NotAudio if
it has video.
"""
