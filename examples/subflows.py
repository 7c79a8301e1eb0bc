"""A tree of flows: a quarter is closed by its months, all at once, and each month by its regions.

    python examples/subflows.py                                    # plain Python, no server
    reeve deploy examples/subflows.py:close_quarter -n example
    reeve run close-quarter/example --watch
    reeve run close-quarter/example -P seconds=600                 # it tells its ID
    reeve runs cancel ID                                           # months and regions are cancelled with it

To see: a flow that is called in a flow is a run of its own, below it; async flows run side by side.
"""

from __future__ import annotations

import asyncio

from reeve import flow, get_run_logger

REGIONS = ("north", "south", "west")


@flow(flow_run_name="{region} in month {month}")
async def close_region(month: int, region: str, seconds: float) -> int:
    """Return what a region has sold; that takes some time."""
    await asyncio.sleep(seconds)
    return 100 * month + len(region)


@flow(flow_run_name="month {month}")
async def close_month(month: int, seconds: float) -> int:
    """Close the regions of a month, and return what they have sold together."""
    sold = await asyncio.gather(*(close_region(month, region, seconds) for region in REGIONS))
    get_run_logger().info("Month %d: %d", month, sum(sold))
    return sum(sold)


@flow(flow_run_name="quarter {quarter}")
async def close_quarter(quarter: int = 1, seconds: float = 1) -> int:
    """Close the three months of a quarter."""
    months = range(3 * quarter - 2, 3 * quarter + 1)
    sold = await asyncio.gather(*(close_month(month, seconds) for month in months))
    get_run_logger().info("Quarter %d: %d", quarter, sum(sold))
    return sum(sold)


if __name__ == "__main__":
    asyncio.run(close_quarter())
