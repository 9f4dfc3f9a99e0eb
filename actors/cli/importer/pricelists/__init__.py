"""Price lists of others as bodies of `catalog.providers.put` and `catalog.prices.put`."""
