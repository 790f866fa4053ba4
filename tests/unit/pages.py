"""The pages of the documentation, as tests look at them."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
REFERENCE = ROOT / "docs" / "reference"
PAGES = [README, ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]


def words_of(page: Path) -> str:
    """Return a page's text without its blocks of code."""
    return re.sub(r"^( *)```.*?^\1```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def headings(page: Path) -> list[str]:
    return re.findall(r"^#+ +(.+?)$", words_of(page), re.MULTILINE)


def code_headings(page: Path) -> list[str]:
    """Return the headings that are nothing but code."""
    return [found[1] for heading in headings(page) if (found := re.fullmatch(r"`(.+)`", heading))]


def section(page: Path, heading: str) -> str:
    """Return the words below a heading of the second level, to the next of that level."""
    return words_of(page).partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def rows(page: Path) -> list[list[str]]:
    """Return the cells of every row of every table, without the marks of code around a whole cell."""
    lines = re.findall(r"^\| *(.+?) *\|$", words_of(page), re.MULTILINE)
    return [[re.sub(r"^`([^`]*)`$", r"\1", cell.strip()) for cell in line.split("|")] for line in lines]


def codes(text: str) -> set[str]:
    """Return everything that stands in marks of code."""
    return set(re.findall(r"`([^`\n]+)`", text))
