"""What a period counts, in one block of memory."""
