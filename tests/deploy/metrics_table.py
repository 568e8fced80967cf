"""The run book's table of metrics, made of their definitions; run as a module it writes it."""

from tests.deploy.watched import RUN_BOOK, defined

_BEGIN = "<!-- metrics: made by `python -m tests.deploy.metrics_table` -->\n"
_END = "<!-- end of metrics -->\n"


def table() -> str:
    rows = [
        f"| `{metric.name}` | {' '.join(f'`{one}`' for one in metric.labels if one != 'le')} "
        f"| {metric.text} |"
        for metric in defined()
    ]
    return "\n".join(["| metric | labels | meaning |", "|---|---|---|", *rows, ""])


def in_run_book() -> str:
    """Returns the present text."""
    return RUN_BOOK.read_text().partition(_BEGIN)[2].partition(_END)[0]


if __name__ == "__main__":
    before, _, rest = RUN_BOOK.read_text().partition(_BEGIN)
    RUN_BOOK.write_text(f"{before}{_BEGIN}{table()}{_END}{rest.partition(_END)[2]}")
