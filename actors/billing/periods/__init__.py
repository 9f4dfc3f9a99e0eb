"""When billing periods begin and end, and what a subscription makes of them."""
