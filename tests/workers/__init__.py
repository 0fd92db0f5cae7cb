"""Workers: the same bits in the same order, whatever their number."""
