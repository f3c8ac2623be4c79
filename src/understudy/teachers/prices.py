"""What tokens cost: the user's own prices, or those of the package genai-prices, which is dated and kept by others.

Price(Decimal("0.15"), Decimal("0.60")).picodollars(1000, 100)      # 210_000_000: $0.00021
listed("gpt-4o-mini", "https://api.openai.com/v1")                  # the same, from the table
"""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal
from functools import lru_cache
from typing import NamedTuple


class Price(NamedTuple):
    """US dollars for a million tokens of prompts and of completions."""

    usd_per_million_input: Decimal
    usd_per_million_output: Decimal

    def __str__(self) -> str:
        """$0.15 and $0.6 a million tokens of prompts and completions."""
        low, high = (f"${price.normalize():f}" for price in self)
        return f"{low} and {high} a million tokens of prompts and completions"

    def picodollars(self, prompt_tokens: int, completion_tokens: int) -> int:
        """What so many tokens cost; a fraction of a picodollar counts as a whole one."""
        millionths = prompt_tokens * self.usd_per_million_input + completion_tokens * self.usd_per_million_output
        return int((millionths * 10**6).to_integral_value(ROUND_CEILING))


@lru_cache(maxsize=64)
def listed(model: str, url: str) -> Price | None:
    """The price of a model in the table, for prompts of ordinary length and at this hour.

    None if the table has none, or the package is not installed.
    """
    try:
        from genai_prices import Usage, calc_price
    except ImportError:
        return None
    per_million = []
    for usage in (Usage(input_tokens=1000), Usage(output_tokens=1000)):
        try:
            per_million.append(calc_price(usage, model_ref=model, provider_api_url=url).total_price * 1000)
        except LookupError:
            return None
    return Price(*per_million)


def table_version() -> str:
    """Which table `listed` reads: `genai-prices 0.2.3`; "" if none is installed."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return f"genai-prices {version('genai-prices')}"
    except PackageNotFoundError:
        return ""
