"""The ledger of claims, and the checks that can refute each of them."""
