"""The program that runs next: it uses much of what a hostile predecessor could have changed, and says if it was."""

VICTIM = """
import bisect, calendar, copy, functools, heapq, itertools, json, math, operator, re, statistics, string
from collections import Counter
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction

def deep(n):
    return 0 if n == 0 else 1 + deep(n - 1)

print("next")
heap = [3, 1, 2]
heapq.heapify(heap)
ans = [
    len([1, 2, 3]), sum([1, 2]), sorted([2, 1]), abs(-1), math.sqrt(9), math.ceil(0.5), math.pi, statistics.mean([1, 3]),
    str(Fraction(1, 3) + Fraction(1, 6)), Fraction(1, 3).numerator, Counter("aab").most_common(1), json.dumps([1]),
    str(Decimal(1) / 3), str(Decimal(2).sqrt()), deep(60), len(str(7 ** 1000)), calendar.isleap(2024),
    calendar.monthrange(2023, 3)[1], calendar.monthrange(2023, 2)[1],
    re.sub("a", "b", "aa"), str(date(2024, 2, 28) + timedelta(days=2)), string.digits, list(itertools.accumulate([1, 2])),
    functools.reduce(operator.add, [1, 2]), copy.deepcopy([1]), heapq.heappop(heap), bisect.bisect([1, 2], 1), 3 + 4,
]
"""

VALUE = (
    "[3, 3, [1, 2], 1, 3.0, 1, 3.141592653589793, 2, '1/2', 1, [('a', 2)], '[1]', '0.3333333333333333333333333333', "
    "'1.414213562373095048801688724', 60, 846, True, 31, 28, 'bb', '2024-03-01', '0123456789', [1, 3], 3, [1], 1, 1, 7]"
)
