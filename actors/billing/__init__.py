"""The billing rules, pure: no I/O, no clock, no asyncio."""
