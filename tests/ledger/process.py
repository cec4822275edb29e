"""A process that holds a ledger: `python -m tests.ledger.process PATH` does what it is told, a JSON list a line.

Every answer is printed after the ledger has answered, so whatever stands in its output was acknowledged.
"""

import json
import sys
from itertools import count
from pathlib import Path

from tests.ledger.support import DAY, NOW, Driver, Grant
from tokensvc.ledger import marks
from tokensvc.ledger.marks import Mark
from tokensvc.ledger.sqlite import SqliteLedger

FOREVER = NOW + 300 * DAY


def main() -> None:
    driver = Driver(SqliteLedger(Path(sys.argv[1]), NOW))
    answer("open")
    for line in sys.stdin:
        verb, *names = json.loads(line)
        match verb, names:
            case "use", [str(family), int(generation), int(times)]:
                step = Grant(family=family).step(generation)
                outcomes = driver.together(*(driver.ledger.advance(step, NOW) for _ in range(times)))
                answer([getattr(outcome, "outcome", type(outcome).__name__) for outcome in outcomes])
            case "mark", [str(account)]:
                driver.mark(marks.account(account), Mark(NOW, FOREVER), NOW)
                answer("marked")
            case "check", [str(account)]:
                answer("dead" if driver.is_dead(Grant(account=account).minted) else "alive")
            case "stream", [str(prefix)]:
                stream(driver, prefix)
            case "close", []:
                driver.close()
                answer("closed")
            case _:
                raise ValueError(line)


def stream(driver: Driver, prefix: str) -> None:
    """Advance and mark, until someone ends it."""
    for number in count():
        driver.advance(Grant(family=f"{prefix}{number}").step(0), NOW + number)
        answer(["used", f"{prefix}{number}"])
        driver.mark(marks.account(f"{prefix}{number}"), Mark(NOW + number, FOREVER), NOW + number)
        answer(["marked", f"{prefix}{number}"])


def answer(result: object) -> None:
    print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
