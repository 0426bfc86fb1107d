"""A party that does not converge: for `python -m demo partition --broken`, which ends with the alarm."""

from __future__ import annotations

import os
from typing import Any

from demo.party import MoneyAdded, Party


class CarelessParty(Party):
    """A party with a mistake that no test of one process shows: what a refund comes to depends on who folds it."""

    def effect(self, event: Any) -> Any:
        match event:
            case MoneyAdded(amount) if amount < 0:
                return self.purse.add(amount - os.getpid())
        return super().effect(event)
