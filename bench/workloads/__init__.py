"""The work, one module each: what is measured stands in words at its top, and `tables` names who does it."""
