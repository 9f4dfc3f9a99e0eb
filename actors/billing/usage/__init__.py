"""A call that was made: its price, its period, its personal fields."""
