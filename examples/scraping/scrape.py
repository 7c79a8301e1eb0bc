"""Read the pages of a web site that does not always answer, and report on those that could not be read.

    python examples/scraping/scrape.py                             # plain Python, no server of reeve's
    python examples/scraping/shop.py                               # the site, elsewhere
    reeve deploy examples/scraping/scrape.py:scrape -n example
    reeve run scrape/example --watch
    reeve artifacts show unread-pages

To see: retries with a growing delay, and only of what may pass (a page that is gone stays gone);
`allow_failure`, by which the report gets the errors in the place of the pages.
"""

from __future__ import annotations

import re
from urllib.error import HTTPError
from urllib.request import urlopen

from reeve import (
    State,
    allow_failure,
    create_table_artifact,
    exponential_backoff,
    flow,
    get_run_logger,
    task,
)


def may_pass(ended: State[str]) -> bool:
    """Whether it is worth asking again: after a time-out and 5xx, but not after 404."""
    if isinstance(ended.error, HTTPError):
        return ended.error.code >= 500
    return isinstance(ended.error, OSError)  # time-outs and broken connections


@task(retries=2, retry_delay_seconds=exponential_backoff(1), retry_if=may_pass, task_run_name="{url}")
def read_title(url: str, patience: float) -> str:
    """Return the heading of a page; ``patience``: seconds."""
    with urlopen(url, timeout=patience) as page:
        text = page.read().decode()
    found = re.search("<h1>(.*?)</h1>", text)
    if found is None:
        raise ValueError(f"{url} has no heading")
    return found[1]


@task
def report(urls: list[str], titles: list[str | Exception]) -> dict[str, str]:
    """Show what could not be read and why; return the titles of the others."""
    read = dict(zip(urls, titles, strict=True))
    unread = [{"page": url, "why": str(why)} for url, why in read.items() if isinstance(why, Exception)]
    create_table_artifact(unread, key="unread-pages", description=f"{len(unread)} of {len(urls)}")
    get_run_logger().info("%d pages of %d could not be read", len(unread), len(urls))
    return {url: title for url, title in read.items() if isinstance(title, str)}


@flow(max_workers=10)
def scrape(site: str = "http://127.0.0.1:8765", products: int = 10, patience: float = 2) -> dict[str, str]:
    """Read the pages of a shop's products, ten at once."""
    urls = [f"{site}/products/{number}" for number in range(1, products + 1)]
    titles = read_title.map(urls, patience)
    return report.submit(urls, allow_failure(titles)).result()


if __name__ == "__main__":
    from shop import open_shop

    with open_shop() as shop:
        scrape(shop.url, patience=0.5)
