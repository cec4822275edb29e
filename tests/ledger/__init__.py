"""The ledger: its algebra, its marks, and every adapter."""
