"""Downloads a model and prints its folder: `python -m service.audio.speech.child.download`."""

import sys

from faster_whisper import download_model


def main() -> None:
    name, folder = sys.argv[1:]
    print(download_model(name, cache_dir=folder))


if __name__ == "__main__":
    main()
