"""Sentences about one or about several."""


def forCount(number: int, one: str, many: str) -> str:
    """One of two translated sentences, with the number in place of ``{count}``."""
    return (one if number == 1 else many).format(count=number)
