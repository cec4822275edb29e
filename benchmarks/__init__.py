"""How fast the service is, beside what could be hoped for and what else there is: `python -m benchmarks`.

Everything runs in the same minutes on the same core, in turns, and what counts are ratios: to two *floors*, the least
that a route of the same framework can do with the same request and an answer of the same size, and to a *rival*, the
authorization routes of the `mcp` SDK over opaque tokens in SQLite.
"""
