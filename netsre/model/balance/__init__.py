"""Services that netsre balances, as people write them down."""
