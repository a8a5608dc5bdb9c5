"""Words of an instruction: split at spaces outside quotes."""

from __future__ import annotations


def first_word(text: str, escape: str) -> tuple[str, str]:
    """The first word with its quotes, and what follows it."""
    index, quote = 0, ""
    while index < len(text):
        char = text[index]
        if char == escape and index + 1 < len(text):
            index += 2
            continue
        if quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        elif char in " \t":
            break
        index += 1
    return text[:index], text[index:].strip()


def split_words(text: str, escape: str) -> list[str]:
    """Words of ``text`` at spaces outside quotes, quotes kept."""
    words = []
    text = text.strip()
    while text:
        word, text = first_word(text, escape)
        words.append(word)
    return words


def unquoted(word: str, escape: str) -> str:
    """``word`` without its quotes, and each escaped character as itself."""
    made, quote, index = "", "", 0
    while index < len(word):
        char = word[index]
        if char == escape and index + 1 < len(word):
            index += 1
            made += word[index]
        elif quote and char == quote:
            quote = ""
        elif not quote and char in "'\"":
            quote = char
        else:
            made += char
        index += 1
    return made
